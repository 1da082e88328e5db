#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// How a direction is dead, after arXiv 2607.00603, of which the abstract alone was known: the
// definitions here are reconstructed.
namespace deadray::flat {

/// F(t), the directional Fisher information at theta(t) along the curve's own velocity.
struct Sample {
  double t = 0, fisher = 0;
};

struct Order {
  enum class Kind {
    gauge,         ///< F is rounding at every t: the curve changes nothing
    regular,       ///< F(0) > 0
    singular,      ///< F(t) ~ t^(2(k-1)), k > 1: dead at t = 0 alone
    undetermined,  ///< none of these shows
  } kind = Kind::undetermined;
  std::int64_t k = 0;             ///< of singular; 1 where it is regular; else 0
  std::optional<double> slope{};  ///< of log F over log |t|, where enough stands above rounding
  std::vector<Sample> samples;
};
std::string_view to_string(Order::Kind kind) noexcept;
std::string to_string(const Order& order);  ///< "gauge", "singular of order 3"

/// Both signs of a geometric grid from 1e-4 to 1, three a decade, ascending.
std::vector<double> order_grid();

/// @param samples  at order_grid(), F in a scale where 1 is alive
/// @param floor    F below it is rounding
Order order_of(std::vector<Sample> samples, double floor);

}  // namespace deadray::flat
