#include "host/formats/gguf/block_codes.h"
#include "host/formats/gguf/block_parts.h"

namespace deadray {
namespace {

constexpr int kElements = 32, kHalf = 16;

/// Blocks of `bytes` each; value(block, i, code) gives element i from its low or high 4 bits, which
/// are stored from byte `codes` on: the first half of the block in the low ones.
template <int kBytes, int kCodes, typename Prepare>
void decode_nibbles(const std::byte* stored, std::int64_t blocks, float* values, Prepare prepare) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += kBytes, values += kElements) {
    const auto value = prepare(stored);
    for (int i = 0; i < kHalf; ++i) values[i] = value(low_nibble(stored + kCodes, i), i);
    for (int i = 0; i < kHalf; ++i)
      values[kHalf + i] = value(high_nibble(stored + kCodes, i), kHalf + i);
  }
}

/// The fifth bits of a block's codes, bit i for element i, in their place.
struct FifthBits {
  explicit FifthBits(const std::byte* stored) { std::memcpy(&bits, stored, sizeof(bits)); }
  int operator()(int i) const { return static_cast<int>(bits >> i & 1) << 4; }
  std::uint32_t bits;
};

/// E2M1 (4-bit floats), doubled: the scale is halved instead.
constexpr std::array<float, 16> kE2m1Twice{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(exponent - 128): half of what E8M0 stands for.
float half_e8m0(int exponent) {
  const auto bits = static_cast<std::uint32_t>(exponent);
  return std::bit_cast<float>(bits < 2 ? std::uint32_t{0x200000} << bits : (bits - 1) << 23);
}

}  // namespace

void decode_q4_0(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<18, 2>(stored, blocks, values, [](const std::byte* block) {
    return
        [scale = half_at(block, 0)](int code, int) { return scale * static_cast<float>(code - 8); };
  });
}

void decode_q4_1(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<20, 4>(stored, blocks, values, [](const std::byte* block) {
    return [scale = half_at(block, 0), least = half_at(block, 2)](int code, int) {
      return scale * static_cast<float>(code) + least;
    };
  });
}

void decode_q5_0(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<22, 6>(stored, blocks, values, [](const std::byte* block) {
    return [scale = half_at(block, 0), fifth = FifthBits(block + 2)](int code, int i) {
      return scale * static_cast<float>((code | fifth(i)) - 16);
    };
  });
}

void decode_q5_1(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<24, 8>(stored, blocks, values, [](const std::byte* block) {
    return [scale = half_at(block, 0), least = half_at(block, 2), fifth = FifthBits(block + 4)](
               int code, int i) { return scale * static_cast<float>(code | fifth(i)) + least; };
  });
}

void decode_q8_0(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 34, values += kElements) {
    const float scale = half_at(stored, 0);
    for (int i = 0; i < kElements; ++i)
      values[i] = scale * static_cast<float>(signed_byte_at(stored + 2, i));
  }
}

void decode_iq4_nl(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<18, 2>(stored, blocks, values, [](const std::byte* block) {
    return [scale = half_at(block, 0)](int code, int) {
      return scale * kIq4Values[static_cast<std::size_t>(code)];
    };
  });
}

void decode_mxfp4(const std::byte* stored, std::int64_t blocks, float* values) {
  decode_nibbles<17, 1>(stored, blocks, values, [](const std::byte* block) {
    return [scale = half_e8m0(byte_at(block, 0))](int code, int) {
      return scale * kE2m1Twice[static_cast<std::size_t>(code)];
    };
  });
}

}  // namespace deadray
