#include "verify/flat/order.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace deadray::flat {
namespace {

constexpr double kFloor = 1e-20;

/// Order of a cell y(t) with outputs of known derivative: F = the mean of (dy/dt)^2.
Order order_along(const std::function<double(double t)>& derivative) {
  std::vector<Sample> samples;
  for (const double t : order_grid()) samples.push_back({t, std::pow(derivative(t), 2)});
  return order_of(std::move(samples), kFloor);
}

double gelu(double x) { return x / 2 * std::erfc(-x / std::sqrt(2)); }
double gelu_slope(double x) {
  return std::erfc(-x / std::sqrt(2)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}

TEST(OrderTest, APowerOfAWeightHasItsExponent) {
  for (int k = 1; k <= 4; ++k) {
    const Order order = order_along([&](double w) { return k * std::pow(w, k - 1) * 1.7; });
    EXPECT_EQ(order.kind, k == 1 ? Order::Kind::regular : Order::Kind::singular) << k;
    EXPECT_EQ(order.k, k);
    ASSERT_TRUE(order.slope);
    EXPECT_NEAR(*order.slope, 2 * (k - 1), 1e-9);  // rounding of a logarithm over a third of ln 10
  }
}

TEST(OrderTest, AProductOfTwoWeightsIsSingularAlongTheDiagonalAndAGaugeAlongAnAxis) {
  const Order diagonal = order_along([](double t) { return 2 * t; });  // (t, t): y = t^2 x
  EXPECT_EQ(diagonal.kind, Order::Kind::singular);
  EXPECT_EQ(diagonal.k, 2);
  EXPECT_EQ(order_along([](double) { return 0.0; }).kind, Order::Kind::gauge);  // (t, 0)
}

TEST(OrderTest, AUnitWhoseRowAndColumnAreZeroIsSingularOfOrderTwo) {
  // y = t phi(t x), x = 0.8: phi(t x) + t x phi'(t x).
  const double x = 0.8;
  const Order of_gelu =
      order_along([&](double t) { return gelu(t * x) + t * x * gelu_slope(t * x); });
  EXPECT_EQ(to_string(of_gelu), "singular of order 2");
  const Order of_tanh = order_along(
      [&](double t) { return std::tanh(t * x) + t * x / std::pow(std::cosh(t * x), 2); });
  EXPECT_EQ(to_string(of_tanh), "singular of order 2");
}

TEST(OrderTest, RoundingIsAGaugeAndWhatFitsNothingIsUndetermined) {
  EXPECT_EQ(order_along([](double t) { return 1e-14 * std::sin(1e7 * t); }).kind,
            Order::Kind::gauge);
  const Order root = order_along([](double t) { return std::pow(std::abs(t), 0.5); });
  EXPECT_EQ(root.kind, Order::Kind::undetermined);
  ASSERT_TRUE(root.slope);  // F ~ |t|: of no order, but the reader sees the slope
  EXPECT_NEAR(*root.slope, 1.0, 1e-9);
  EXPECT_EQ(order_along([](double) { return std::nan(""); }).kind, Order::Kind::undetermined);
  // Of order 8 only the far end stands above rounding: no slope can be read.
  EXPECT_EQ(order_along([](double t) { return std::pow(t, 7); }).kind, Order::Kind::undetermined);
  EXPECT_EQ(order_of({}, kFloor).kind, Order::Kind::undetermined);
}

TEST(OrderTest, TheGridHasBothSignsFromOneTenThousandthToOne) {
  const std::vector<double> grid = order_grid();
  EXPECT_DOUBLE_EQ(grid.front(), -1);
  EXPECT_DOUBLE_EQ(grid.back(), 1);
  EXPECT_TRUE(std::is_sorted(grid.begin(), grid.end()));
  double least = 1;
  for (const double t : grid) least = std::min(least, std::abs(t));
  EXPECT_NEAR(least, 1e-4, 1e-12);
}

}  // namespace
}  // namespace deadray::flat
