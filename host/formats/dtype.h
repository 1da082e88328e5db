#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace deadray {

/// Element types that checkpoints store, named as safetensors spells them.
enum class DType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  unknown
};

/// The type that safetensors spells `name` ("F32", "BF16", …), or DType::unknown.
DType parse_dtype(std::string_view name) noexcept;
/// Safetensors' spelling; "?" for unknown.
std::string_view to_string(DType type) noexcept;
/// Bytes an element takes; 0 for unknown.
std::size_t size_of(DType type) noexcept;
/// True for f64, f32, f16, bf16: the types whose values stand for themselves. (FP8 values need a
/// scale that is stored elsewhere.)
bool is_plain_float(DType type) noexcept;
/// True for the two 8-bit types.
bool is_fp8(DType type) noexcept;
/// Half the distance from 1 to the next larger number: f64 2^-53, f32 2^-24, f16 2^-11, bf16 2^-8.
/// @throws std::invalid_argument for a type that is no plain float
double unit_roundoff(DType type);
/// Widens little-endian elements to FP64, exactly.
/// @param bytes  values.size() * size_of(type) bytes
/// @throws std::invalid_argument for a type that is no plain float, or when the sizes disagree
void widen(DType type, std::span<const std::byte> bytes, std::span<double> values);

}  // namespace deadray
