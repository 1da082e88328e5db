#pragma once

#include <algorithm>
#include <cstdint>

// What counts as zero, and what as agreement, in every part of the measurement.
namespace deadray {

inline constexpr double kRoundoff64 = 0x1p-53;
/// Least principal cosine of a confirmed subspace.
inline constexpr double kSameDirection = 0.9999;
/// Least lambda_{k+1} / lambda_k of a confirmed subspace of dimension k.
inline constexpr double kClearGap = 1e3;

/// An eigenvalue of a [d, d] covariance up to this size cannot be told from zero: d u times the
/// largest eigenvalue, u = 2^-53, or d u^2 times it where activations are rounded to a larger u.
/// @param roundoff  u of the activations' type
inline double rounding_floor(std::int64_t d, double largest, double roundoff = kRoundoff64) {
  return static_cast<double>(d) * std::max(kRoundoff64, roundoff * roundoff) * largest;
}

}  // namespace deadray
