#pragma once

#include <optional>
#include <span>

namespace deadray {

/// How a cost grows: seconds = coefficient * d^exponent.
struct PowerLaw {
  double exponent = 0.0, coefficient = 0.0;
  int points = 0;  ///< number of those that it was fitted to
};

struct CostPoint {
  double d = 0.0, seconds = 0.0;  ///< both positive
};

/// Least squares on the logarithms; nothing where the points have fewer than two different d.
std::optional<PowerLaw> fit_power_law(std::span<const CostPoint> points);

}  // namespace deadray
