#include "host/prediction/reciprocal_sums.h"

#include <algorithm>
#include <cmath>

#include "kernels/arithmetic/lanes.h"

namespace deadray {
namespace {

using namespace kernels;  // NOLINT(google-build-using-namespace): lanes and what is done with them

/// Two values share a division, 1/a = b/(ab), which would otherwise bound the speed.
template <bool kShift>
DEADRAY_HOST_DEVICE ReciprocalSums invert_and_sum(const double* gamma, const double* beta,
                                                  double* inverse, std::size_t n) {
  ReciprocalSums sums;
  Lanes lowest = Lanes{} + sums.lowest, highest{}, squares{}, quotients{}, quotient_squares{};
  std::size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Lanes a = load_lanes(gamma + i), b = load_lanes(gamma + i + kLanes), both = 1.0 / (a * b),
                inverse_a = b * both, inverse_b = a * both;
    const Lanes magnitude_a = magnitude(a), magnitude_b = magnitude(b);
    lowest = lesser(lowest, lesser(magnitude_a, magnitude_b));
    highest = greater(highest, greater(magnitude_a, magnitude_b));
    squares += inverse_a * inverse_a;
    squares += inverse_b * inverse_b;
    if constexpr (kShift) {
      const Lanes t = load_lanes(beta + i) * inverse_a,
                  u = load_lanes(beta + i + kLanes) * inverse_b;
      quotients += t;
      quotients += u;
      quotient_squares += t * t;
      quotient_squares += u * u;
    }
    store_lanes(inverse + i, inverse_a);
    store_lanes(inverse + i + kLanes, inverse_b);
  }
  for (int k = 0; k < kLanes; ++k) {
    sums.lowest = std::min(sums.lowest, lowest[k]);
    sums.highest = std::max(sums.highest, highest[k]);
  }
  sums.inverse_squares = sum_of(squares);
  sums.quotients = sum_of(quotients);
  sums.quotient_squares = sum_of(quotient_squares);
  for (; i < n; ++i) {
    const double a = gamma[i], inverse_a = 1.0 / a, t = kShift ? beta[i] * inverse_a : 0.0;
    sums.lowest = std::min(sums.lowest, std::fabs(a));
    sums.highest = std::max(sums.highest, std::fabs(a));
    sums.inverse_squares += inverse_a * inverse_a;
    sums.quotients += t;
    sums.quotient_squares += t * t;
    inverse[i] = inverse_a;
  }
  return sums;
}

}  // namespace

DEADRAY_CLONES ReciprocalSums invert(const double* gamma, const double* beta, double* inverse,
                                     std::size_t n) {
  return beta != nullptr ? invert_and_sum<true>(gamma, beta, inverse, n)
                         : invert_and_sum<false>(gamma, nullptr, inverse, n);
}

}  // namespace deadray
