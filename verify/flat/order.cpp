#include "verify/flat/order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/base/statistics.h"

namespace deadray::flat {
namespace {

constexpr std::size_t kNearest = 6;  // points of one sign that a slope is read from: two decades
constexpr double kNear = 0.1;        // of a slope to the even number it is taken for

/// Slopes of log F over log |t| between neighbours of one sign, the nearest to 0 that stand above
/// the floor.
std::vector<double> slopes(std::vector<Sample> samples, double floor) {
  std::erase_if(samples, [&](const Sample& s) { return !(s.fisher > floor); });
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return std::abs(a.t) < std::abs(b.t); });
  std::vector<double> found;
  for (std::size_t i = 1; i < std::min(samples.size(), kNearest); ++i)
    found.push_back(std::log(samples[i].fisher / samples[i - 1].fisher) /
                    std::log(std::abs(samples[i].t / samples[i - 1].t)));
  return found;
}

}  // namespace

std::string_view to_string(Order::Kind kind) noexcept {
  switch (kind) {
    case Order::Kind::gauge:
      return "gauge";
    case Order::Kind::regular:
      return "regular";
    case Order::Kind::singular:
      return "singular";
    case Order::Kind::undetermined:
      return "undetermined";
  }
  return "?";
}

std::string to_string(const Order& order) {
  return order.kind == Order::Kind::singular ? fmt::format("singular of order {}", order.k)
                                             : std::string(to_string(order.kind));
}

std::vector<double> order_grid() {
  std::vector<double> grid;
  for (int i = 0; i <= 12; ++i) {
    const double t = std::pow(10.0, -4.0 + i / 3.0);
    grid.push_back(t);
    grid.push_back(-t);
  }
  std::sort(grid.begin(), grid.end());
  return grid;
}

Order order_of(std::vector<Sample> samples, double floor) {
  Order order;
  order.samples = std::move(samples);
  const auto is_finite = [](const Sample& s) { return std::isfinite(s.fisher); };
  const auto is_rounding = [&](const Sample& s) { return s.fisher <= floor; };
  const auto& all = order.samples;
  if (all.empty() || !std::all_of(all.begin(), all.end(), is_finite)) return order;
  if (std::all_of(all.begin(), all.end(), is_rounding)) {
    order.kind = Order::Kind::gauge;
    return order;
  }
  std::vector<double> found;
  for (const double sign : {-1.0, 1.0}) {
    std::vector<Sample> side;
    std::copy_if(all.begin(), all.end(), std::back_inserter(side),
                 [&](const Sample& s) { return s.t * sign > 0; });
    const std::vector<double> of_side = slopes(std::move(side), floor);
    if (of_side.size() + 1 < kNearest) return order;  // too few points above rounding
    found.insert(found.end(), of_side.begin(), of_side.end());
  }
  const double slope = median(found);
  order.slope = slope;
  const auto k = std::llround(slope / 2) + 1;
  if (std::abs(slope - 2.0 * static_cast<double>(k - 1)) > kNear || k < 1) return order;
  order.k = k;
  order.kind = k == 1 ? Order::Kind::regular : Order::Kind::singular;
  return order;
}

}  // namespace deadray::flat
