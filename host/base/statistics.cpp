#include "host/base/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace deadray {
namespace {

// Extended precision: at hidden_size 8192 the log-gammas are of order 3e4 and cancel, which would
// cost double four digits.
using Real = long double;

/// Continued fraction of I_x(a, b) by Lentz's method (DLMF 8.17.22). It converges fast where
/// x < (a + 1)/(a + b + 2).
Real beta_continued_fraction(Real a, Real b, Real x) {
  constexpr Real kTiny = 1e-300L;
  constexpr int kMaxTerms = 100'000;  // about sqrt(max(a, b)) are needed
  const auto guarded = [](Real value) { return std::abs(value) < kTiny ? kTiny : value; };
  Real c = 1, d = 1 / guarded(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int m = 1; m <= kMaxTerms; ++m) {
    const Real even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const Real odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    Real change = 1;
    for (const Real term : {even, odd}) {
      d = 1 / guarded(1 + term * d);
      c = guarded(1 + term / c);
      change = c * d;
      fraction *= change;
    }
    if (std::abs(change - 1) < 4 * std::numeric_limits<Real>::epsilon()) break;
  }
  return fraction;
}

/// x^a (1 - x)^b / (a B(a, b)) times the fraction; `y` is 1 - x without its rounding.
Real lower_tail(Real a, Real b, Real x, Real y) {
  const Real log_front =
      a * std::log(x) + b * std::log(y) + std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b);
  return std::exp(log_front) / a * beta_continued_fraction(a, b, x);
}

/// I_x(a, b) with y = 1 - x.
Real incomplete_beta(Real a, Real b, Real x, Real y) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  return x < (a + 1) / (a + b + 2) ? lower_tail(a, b, x, y) : 1 - lower_tail(b, a, y, x);
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  for (const double value : values)
    if (std::isnan(value)) return value;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double incomplete_beta(double a, double b, double x) {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1)) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(incomplete_beta(Real{a}, Real{b}, Real{x}, 1 - Real{x}));
}

double chance_p_value(double abs_cos, std::int64_t hidden_size) {
  if (std::isnan(abs_cos)) return abs_cos;
  if (hidden_size <= 1) return 1.0;  // every unit vector of a line is +-v
  const Real cosine = std::clamp(abs_cos, 0.0, 1.0);
  const Real upper = (1 - cosine) * (1 + cosine);  // sin^2, exact where cos is close to 1
  return static_cast<double>(
      incomplete_beta((Real(hidden_size) - 1) / 2, Real{0.5}, upper, cosine * cosine));
}

}  // namespace deadray
