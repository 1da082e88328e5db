#pragma once

#include <algorithm>
#include <cstdint>

// What counts as zero, and what as agreement, in every part of the measurement.
namespace deadray {

inline constexpr double kRoundoff64 = 0x1p-53;
inline constexpr double kSameDirection =
    0.9999;                               ///< least principal cosine of a confirmed subspace
inline constexpr double kClearGap = 1e3;  ///< least lambda_{k+1}/lambda_k of a confirmed subspace

/// What an eigenvalue of a [d, d] covariance must exceed to be told from zero: d u times the
/// largest; activations rounded at u > 2^-53 leave at least d u^2.
inline double rounding_floor(std::int64_t d, double largest, double roundoff = kRoundoff64) {
  return static_cast<double>(d) * std::max(kRoundoff64, roundoff * roundoff) * largest;
}

}  // namespace deadray
