#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/arithmetic/host_device.h"

/// Normals from random words in plain FP32 multiplications, additions and square roots: IEEE 754
/// fixes every bit, on every machine, as long as the compiler fuses none of them
/// (-ffp-contract=off, nvcc -fmad=false). No libm: its results differ between versions.
namespace deadray::kernels {

template <typename To, typename From>
DEADRAY_HOST_DEVICE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

/// A word as a number in [2^-32, 1]: 31 bits, rounded to FP32, at the middle of their interval.
/// Never 0, so its logarithm is finite.
DEADRAY_HOST_DEVICE float unit_uniform(std::uint32_t word) {
  return (static_cast<float>(static_cast<std::int32_t>(word >> 1)) + 0.5f) * 0x1p-31f;
}

/// Natural logarithm of a normal FP32 number x > 0, to 1.2e-7 relative (2 units in the last place).
/// x = 2^e m, m in [sqrt(1/2), sqrt(2)); log m = f - f^2/2 + f^3 P(f), f = m - 1, P our own minimax
/// fit (6e-9 relative before rounding).
DEADRAY_HOST_DEVICE float log_polynomial(float x) {
  constexpr std::int32_t kSqrtHalf = 0x3f3504f3;  // the bits of sqrt(1/2)
  const std::int32_t above = bits_as<std::int32_t>(x) - kSqrtHalf;
  const auto e = static_cast<float>(above >> 23);
  const float f = bits_as<float>((above & 0x7fffff) + kSqrtHalf) - 1.0f;
  float p = -0x1.38c9dep-4f;
  p = p * f + 0x1.055ec6p-3f;
  p = p * f - 0x1.0d8242p-3f;
  p = p * f + 0x1.22d92ep-3f;
  p = p * f - 0x1.54728ap-3f;
  p = p * f + 0x1.99a01cp-3f;
  p = p * f - 0x1.000226p-2f;
  p = p * f + 0x1.555554p-2f;
  const float square = f * f;
  // ln 2 in two parts: the first has 9 trailing zero bits, so e times it is exact.
  return e * 0x1.62e4p-1f + (f + (e * 0x1.7f7d1cp-20f + (f * square * p - 0.5f * square)));
}

struct SinCos {
  float sin, cos;
};

/// Sine and cosine of 2 pi word / 2^32, each to 1.2e-7 absolute. The two top bits (rounded) choose
/// the quadrant exactly; the rest is an angle in [-1/8, 1/8] turns for polynomials of our own
/// (minimax, 3e-8 relative before rounding).
DEADRAY_HOST_DEVICE SinCos sincos_turn(std::uint32_t word) {
  const std::uint32_t quadrant = (word + 0x20000000u) >> 30;
  const float turn =
      static_cast<float>(static_cast<std::int32_t>(word - (quadrant << 30))) * 0x1p-32f;
  const float t = turn * turn;
  const float s =
      turn * (0x1.921fb6p+2f + t * (-0x1.4abc24p+5f + t * (0x1.4680a4p+6f - t * 0x1.331990p+6f)));
  const float c = 1.0f + t * (-0x1.3bd3ccp+4f +
                              t * (0x1.03c1b0p+6f + t * (-0x1.55b2b6p+6f + t * 0x1.d4f7eep+5f)));
  const bool swapped = (quadrant & 1u) != 0;
  const std::uint32_t sin_sign = (quadrant & 2u) << 30, cos_sign = ((quadrant + 1u) & 2u) << 30;
  return {bits_as<float>(bits_as<std::uint32_t>(swapped ? c : s) ^ sin_sign),
          bits_as<float>(bits_as<std::uint32_t>(swapped ? s : c) ^ cos_sign)};
}

struct NormalPair {
  float first, second;
};

/// Two independent normals of mean 0 from two uniform words (Box and Muller 1958); none exceeds 6.7
/// deviations.
DEADRAY_HOST_DEVICE NormalPair box_muller(std::uint32_t radius_word, std::uint32_t angle_word,
                                          float deviation) {
  const float radius = deviation * std::sqrt(-2.0f * log_polynomial(unit_uniform(radius_word)));
  const SinCos direction = sincos_turn(angle_word);
  return {radius * direction.cos, radius * direction.sin};
}

}  // namespace deadray::kernels
