#include "verify/timing/power_law.h"

#include <algorithm>
#include <cmath>

namespace deadray {

std::optional<PowerLaw> fit_power_law(std::span<const CostPoint> points) {
  if (std::all_of(points.begin(), points.end(),
                  [&](const CostPoint& point) { return point.d == points.front().d; }))
    return std::nullopt;
  const auto n = static_cast<double>(points.size());
  double mean_x = 0, mean_y = 0;
  for (const CostPoint& point : points)
    mean_x += std::log(point.d) / n, mean_y += std::log(point.seconds) / n;
  double squares = 0, products = 0;  // about the means
  for (const CostPoint& point : points) {
    const double x = std::log(point.d) - mean_x;
    squares += x * x, products += x * (std::log(point.seconds) - mean_y);
  }
  const double exponent = products / squares;
  return PowerLaw{exponent, std::exp(mean_y - exponent * mean_x), static_cast<int>(points.size())};
}

}  // namespace deadray
