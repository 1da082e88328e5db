#include "host/prediction/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/prediction/reciprocal_sums.h"

namespace deadray {
namespace {

/// |gamma| within 2^-200 … 2^200: products of two and sums of squares neither overflow nor vanish.
constexpr int kSafeExponent = 200;
constexpr double kSafeLow = 0x1p-200, kSafeHigh = 0x1p200;

/// The sums of values scaled by 2^-gamma_exponent and 2^-beta_exponent.
struct Sums : ReciprocalSums {
  int gamma_exponent = 0, beta_exponent = 0;
};

/// As invert(), for gamma of any range, scaled to lowest magnitude 1, and beta scaled to highest
/// magnitude 1. What vanishes is below 2^-400 of what stays.
Sums invert_wide(UnsetVector& gamma, const std::vector<double>& beta) {
  Sums sums;
  for (std::size_t i = 0; i < gamma.size(); ++i) {
    gamma[i] = 1.0 / gamma[i];
    sums.inverse_squares += gamma[i] * gamma[i];
    const double t = beta.empty() ? 0.0 : beta[i] * gamma[i];
    sums.quotients += t;
    sums.quotient_squares += t * t;
  }
  return sums;
}

std::pair<double, double> magnitudes(std::span<const double> values) {
  std::pair<double, double> range{std::numeric_limits<double>::infinity(), 0.0};
  for (const double x : values)
    range = {std::min(range.first, std::fabs(x)), std::max(range.second, std::fabs(x))};
  return range;
}

/// Where the fast pass gave up: refuses bad values by name, and evaluates others scaled by powers
/// of two. Scaling is exact: a gamma that fits the safe range once it is centred there gets, bit
/// for bit, the direction that it has unscaled.
Sums invert_carefully(UnsetVector& inverse, std::span<const double> gamma,
                      std::span<const double> beta, std::string_view site) {
  require_sound(gamma, beta, fmt::format("tensor '{}'", site),
                fmt::format("beta beside tensor '{}'", site));
  const auto [lowest, highest] = magnitudes(gamma);
  if (lowest == 0.0) {
    inverse.clear();
    return {{.lowest = lowest, .highest = highest}};
  }
  const double beta_highest = magnitudes(beta).second;
  const int low = std::ilogb(lowest), high = std::ilogb(highest);
  const bool wide = high - low > 2 * kSafeExponent;
  const int gamma_exponent = wide ? low : (low + high) / 2,
            beta_exponent = beta_highest > 0.0 ? std::ilogb(beta_highest) : 0;
  std::vector<double> shift(beta.begin(), beta.end());
  for (double& b : shift) b = std::ldexp(b, -beta_exponent);
  std::transform(gamma.begin(), gamma.end(), inverse.begin(),
                 [=](double g) { return std::ldexp(g, -gamma_exponent); });
  Sums sums = wide ? invert_wide(inverse, shift)
                   : Sums{invert(inverse.data(), shift.empty() ? nullptr : shift.data(),
                                 inverse.data(), inverse.size())};
  sums.lowest = lowest;
  sums.highest = highest;
  sums.gamma_exponent = gamma_exponent;
  sums.beta_exponent = beta_exponent;
  return sums;
}

/// value * 2^exponent, without the library call where there is nothing to scale: it would be a
/// tenth of a prediction.
double scaled(double value, int exponent) {
  return exponent == 0 ? value : std::ldexp(value, exponent);
}

/// Fills in S and what follows from it.
void add_coordinates(DeadSubspace& subspace, std::span<const double> gamma,
                     std::span<const double> beta, double roundoff) {
  double highest_dead = 0.0;
  for (std::size_t i = 0; i < gamma.size(); ++i) {
    if (std::fabs(gamma[i]) > subspace.tau) continue;
    const double shift = beta.empty() ? 0.0 : beta[i],
                 rounded = roundoff * std::hypot(gamma[i], shift);
    subspace.coordinates.push_back(static_cast<std::int64_t>(i));
    highest_dead = std::max(highest_dead, std::fabs(gamma[i]));
    if (gamma[i] == 0.0) subspace.zero_shifts.push_back(shift);
    // Where v* does not exist, what is left is the rounding of h_i itself, largest where h_i is.
    if (subspace.inverse.empty())
      subspace.deployed_floor = std::max(subspace.deployed_floor, rounded * rounded / 3.0);
  }
  subspace.variance_bound = static_cast<double>(gamma.size()) * highest_dead * highest_dead;
}

}  // namespace

DeadSubspace predict(NormKind kind, std::span<const double> gamma, std::span<const double> beta,
                     const PredictOptions& options, std::string_view site) {
  if (gamma.empty()) throw MalformedError(fmt::format("tensor '{}': no values", site));
  if (!beta.empty() && beta.size() != gamma.size())
    throw MalformedError(fmt::format("beta beside tensor '{}': {} values, expected {} as gamma has",
                                     site, beta.size(), gamma.size()));
  const double d = static_cast<double>(gamma.size()), u = options.deployed_roundoff;
  DeadSubspace subspace;
  subspace.inverse.resize(gamma.size());
  Sums sums{invert(gamma.data(), beta.empty() ? nullptr : beta.data(), subspace.inverse.data(),
                   gamma.size())};
  if (!(sums.lowest >= kSafeLow && sums.highest <= kSafeHigh &&
        std::isfinite(sums.inverse_squares) && std::isfinite(sums.quotient_squares))) {
    sums = invert_carefully(subspace.inverse, gamma, beta, site);
  }
  subspace.gamma_min = sums.lowest;
  subspace.gamma_max = sums.highest;
  subspace.tau = options.relative_tau * sums.highest;
  const bool centred = kind == NormKind::layernorm;
  if (!subspace.inverse.empty()) {
    subspace.inverse_norm = std::sqrt(sums.inverse_squares);
    subspace.exponent = sums.gamma_exponent;
    if (centred) {
      subspace.constant = scaled(sums.quotients, sums.beta_exponent - sums.gamma_exponent);
      subspace.deployed_floor =
          u * u / 3.0 *
          (scaled(d / sums.inverse_squares, 2 * sums.gamma_exponent) +
           scaled(sums.quotient_squares / sums.inverse_squares, 2 * sums.beta_exponent));
    }
  }
  if (sums.lowest <= subspace.tau) add_coordinates(subspace, gamma, beta, u);
  const auto dead = static_cast<std::int64_t>(subspace.coordinates.size());
  subspace.dimension = centred ? std::max<std::int64_t>(1, dead) : dead;
  return subspace;
}

std::vector<std::string_view> edges_of_range(const DeadSubspace& subspace) {
  std::vector<std::string_view> edges;
  if (subspace.gamma_min > 0.0 && (subspace.gamma_min < kSafeLow || subspace.gamma_max > kSafeHigh))
    edges.push_back("gamma reaches beyond 2^-200 … 2^200, its reciprocals were evaluated scaled");
  if (subspace.gamma_min > 0.0 && subspace.gamma_min < 0x1p-126)
    edges.push_back(
        "gamma holds numbers that are subnormal in float32, which some devices take for 0");
  if (subspace.constant && !std::isfinite(*subspace.constant))
    edges.push_back("the constant is beyond the range of a double, null in records");
  return edges;
}

std::vector<double> DeadSubspace::direction() const {
  std::vector<double> unit(inverse.size());
  const double factor = 1.0 / inverse_norm;
  std::transform(inverse.begin(), inverse.end(), unit.begin(),
                 [factor](double x) { return x * factor; });
  return unit;
}

}  // namespace deadray
