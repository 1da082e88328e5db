#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/arithmetic/rows.h"

/// Eight FP64 lanes as GCC and Clang know them: one AVX-512 register, or as many smaller ones as
/// the machine needs. For CPU counterparts only. GCC keeps sums of this type in registers, where it
/// would leave an array of partial sums in memory. The order of summation is the same everywhere.
namespace deadray::kernels {

constexpr int kLanes = 8;
using Lanes = double __attribute__((vector_size(8 * kLanes)));

DEADRAY_HOST_DEVICE Lanes load_lanes(const double* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return lanes;
}

DEADRAY_HOST_DEVICE Lanes load_lanes(const float* x) {
  float __attribute__((vector_size(4 * kLanes))) lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return __builtin_convertvector(lanes, Lanes);
}

DEADRAY_HOST_DEVICE Lanes load_lanes(const BFloat16* x) {
  using Words = std::uint32_t __attribute__((vector_size(4 * kLanes)));
  std::uint16_t __attribute__((vector_size(2 * kLanes))) halves;
  std::memcpy(&halves, x, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  float __attribute__((vector_size(4 * kLanes))) lanes;
  std::memcpy(&lanes, &words, sizeof lanes);
  return __builtin_convertvector(lanes, Lanes);
}

DEADRAY_HOST_DEVICE void store_lanes(double* x, const Lanes& lanes) {
  std::memcpy(x, &lanes, sizeof lanes);
}

DEADRAY_HOST_DEVICE Lanes magnitude(const Lanes& x) {
  using Bits = std::int64_t __attribute__((vector_size(8 * kLanes)));
  // Clears the sign bits; the comparison that fabs would be is slower.
  return reinterpret_cast<Lanes>(reinterpret_cast<Bits>(x) & 0x7fffffffffffffff);
}

/// Lane by lane; b where either is NaN.
DEADRAY_HOST_DEVICE Lanes lesser(const Lanes& a, const Lanes& b) { return a < b ? a : b; }
DEADRAY_HOST_DEVICE Lanes greater(const Lanes& a, const Lanes& b) { return a > b ? a : b; }

DEADRAY_HOST_DEVICE double sum_of(const Lanes& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace deadray::kernels
