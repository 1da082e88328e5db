#include "host/formats/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "host/formats/elements/halves.h"

namespace deadray {
namespace {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little-endian and are read without swapping");

struct DTypeRow {
  DType type;
  std::string_view name;
  std::size_t size;
  int significant_bits;  ///< of plain floats, the hidden bit included; 0 for all others
};

constexpr std::array kTypes{
    DTypeRow{DType::f64, "F64", 8, 53},        DTypeRow{DType::f32, "F32", 4, 24},
    DTypeRow{DType::f16, "F16", 2, 11},        DTypeRow{DType::bf16, "BF16", 2, 8},
    DTypeRow{DType::f8_e4m3, "F8_E4M3", 1, 0}, DTypeRow{DType::f8_e5m2, "F8_E5M2", 1, 0},
    DTypeRow{DType::i64, "I64", 8, 0},         DTypeRow{DType::i32, "I32", 4, 0},
    DTypeRow{DType::i16, "I16", 2, 0},         DTypeRow{DType::i8, "I8", 1, 0},
    DTypeRow{DType::u64, "U64", 8, 0},         DTypeRow{DType::u32, "U32", 4, 0},
    DTypeRow{DType::u16, "U16", 2, 0},         DTypeRow{DType::u8, "U8", 1, 0},
    DTypeRow{DType::boolean, "BOOL", 1, 0},    DTypeRow{DType::unknown, "?", 0, 0},
};
static_assert(
    [] {
      for (std::size_t i = 0; i < kTypes.size(); ++i)
        if (static_cast<std::size_t>(kTypes[i].type) != i) return false;
      return true;
    }(),
    "kTypes is indexed by DType");

const DTypeRow& row(DType type) noexcept { return kTypes[static_cast<std::size_t>(type)]; }

double widen_bf16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

template <typename Stored, typename Widen>
void widen_each(const std::byte* bytes, double* values, std::size_t count, Widen widen_one) {
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;  // copied bytewise: a checkpoint aligns nothing
    std::memcpy(&stored, bytes + i * sizeof(Stored), sizeof(Stored));
    values[i] = widen_one(stored);
  }
}

}  // namespace

DType parse_dtype(std::string_view name) noexcept {
  for (const DTypeRow& known : kTypes)
    if (known.name == name) return known.type;
  return DType::unknown;
}

std::string_view to_string(DType type) noexcept { return row(type).name; }

std::size_t size_of(DType type) noexcept { return row(type).size; }

bool is_fp8(DType type) noexcept { return type == DType::f8_e4m3 || type == DType::f8_e5m2; }

bool is_plain_float(DType type) noexcept { return row(type).significant_bits > 0; }

double unit_roundoff(DType type) {
  if (!is_plain_float(type))
    throw std::invalid_argument(
        fmt::format("unit_roundoff: {} is no plain float", to_string(type)));
  return std::ldexp(1.0, -row(type).significant_bits);
}

void widen(DType type, std::span<const std::byte> bytes, std::span<double> values) {
  if (!is_plain_float(type))
    throw std::invalid_argument(fmt::format("widen: {} is no plain float", to_string(type)));
  if (bytes.size() != values.size() * size_of(type))
    throw std::invalid_argument(fmt::format("widen: {} bytes for {} values of {}", bytes.size(),
                                            values.size(), to_string(type)));
  if (values.empty()) return;
  switch (type) {
    case DType::f64:
      std::memcpy(values.data(), bytes.data(), bytes.size());
      break;
    case DType::f32:
      widen_each<float>(bytes.data(), values.data(), values.size(),
                        [](float x) { return static_cast<double>(x); });
      break;
    case DType::f16:
      widen_halves(bytes.data(), values.data(), values.size());
      break;
    default:
      widen_each<std::uint16_t>(bytes.data(), values.data(), values.size(), widen_bf16);
      break;
  }
}

}  // namespace deadray
