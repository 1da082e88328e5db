#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// What the block decoders share.
namespace deadray {

/// Bits of a block, as the formulas count them.
inline int byte_at(const std::byte* stored, int i) { return std::to_integer<int>(stored[i]); }
inline int low_nibble(const std::byte* stored, int i) { return byte_at(stored, i) & 15; }
inline int high_nibble(const std::byte* stored, int i) { return byte_at(stored, i) >> 4; }
inline int signed_byte_at(const std::byte* stored, int i) {
  return static_cast<std::int8_t>(stored[i]);
}

/// The float16 that begins here. Subnormals go through an integer and so survive flush-to-zero
/// modes.
inline float half_at(const std::byte* stored, int i) {
  std::uint16_t bits;
  std::memcpy(&bits, stored + i, sizeof(bits));
  const std::uint32_t exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const std::uint32_t sign = static_cast<std::uint32_t>(bits >> 15) << 31;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign == 0 ? magnitude : -magnitude;
  }
  const std::uint32_t rebased = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | rebased << 23 | fraction << 13);
}

/// What the 4-bit codes of IQ4_NL and IQ4_XS stand for: unevenly spaced, denser around zero.
inline constexpr std::array<float, 16> kIq4Values{-127, -104, -83, -65, -49, -35, -22, -10,
                                                  1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace deadray
