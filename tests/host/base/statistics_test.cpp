#include "host/base/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace deadray {
namespace {

constexpr double kPromised = 1e-12;  // the relative error that the header promises

void expect_relative(double got, double want, double tolerance) {
  EXPECT_NEAR(got, want, tolerance * std::abs(want));
}

TEST(MedianTest, IsOneOfTheValuesAndTheLowerOfTwo) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({5, -1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2);
  EXPECT_EQ(median({1, 1, 1, 9}), 1);
}

TEST(MedianTest, IsNanWhereAValueIsOrThereIsNone) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(median({1, 2, nan})));
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(IncompleteBetaTest, IsTheArcsineLawForTwoHalves) {
  for (const double x : {1e-10, 0.1, 0.3, 0.5, 0.77, 0.999})
    expect_relative(incomplete_beta(0.5, 0.5, x), 2 / M_PI * std::asin(std::sqrt(x)), kPromised);
}

TEST(IncompleteBetaTest, IsABinomialTailForIntegers) {
  for (const double x : {0.05, 0.4, 0.9})
    for (int a = 1; a <= 6; ++a)
      for (int b = 1; b <= 6; ++b) {
        const int n = a + b - 1;
        double tail = 0;  // P(at least a successes in n trials)
        for (int j = a; j <= n; ++j)
          tail += std::tgamma(n + 1) / std::tgamma(j + 1) / std::tgamma(n - j + 1) *
                  std::pow(x, j) * std::pow(1 - x, n - j);
        expect_relative(incomplete_beta(a, b, x), tail, kPromised);
      }
}

TEST(IncompleteBetaTest, IsAPowerWhereOneParameterIsOne) {
  for (const double a : {0.25, 3.0, 400.0})
    expect_relative(incomplete_beta(a, 1, 0.75), std::pow(0.75, a), kPromised);
}

TEST(IncompleteBetaTest, IsSymmetric) {
  // 0.25 and 0.75 are exact, so that 1 - x does not round. Rounding to double costs each value
  // below 1 at most 2^-54, their sum 2^-53: 2.2e-16 in all; what is left is for the long double
  // inside.
  for (const double a : {0.5, 2.0, 127.5})
    for (const double b : {0.5, 7.25, 300.0})
      EXPECT_NEAR(incomplete_beta(a, b, 0.25) + incomplete_beta(b, a, 0.75), 1.0, 4e-16);
}

TEST(IncompleteBetaTest, AgreesWithFiftyDigits) {
  struct Case {
    double a, b, x, value;
  };
  // mpmath 1.3, mp.dps = 50: betainc(a, b, 0, x, regularized=True). SciPy 1.17's betainc agrees to
  // 1e-12 at the large parameters.
  constexpr Case kCases[] = {
      {0.5, 127.5, 0.01, 0.89025014594990401},    {127.5, 0.5, 0.9, 2.2391989729484258e-7},
      {0.5, 4095.5, 0.0001, 0.63455391730994293}, {4095.5, 0.5, 0.9, 1.1091236932332216e-189},
      {2.5, 3.75, 0.3, 0.32455496358506454},      {30.0, 50.0, 0.4, 0.68294284603088809},
      {0.001, 10.0, 0.2, 0.99995863898377785},    {2047.5, 0.5, 0.75, 3.8409261365173312e-258},
      {0.5, 0.75, 0.999, 0.99687036142546165},    {4095.5, 0.5, 0.999, 0.0042015302092740885},
  };
  for (const auto& c : kCases) expect_relative(incomplete_beta(c.a, c.b, c.x), c.value, kPromised);
}

TEST(IncompleteBetaTest, HasItsEndpointsAndNoValueOutside) {
  EXPECT_EQ(incomplete_beta(3, 4, 0), 0.0);
  EXPECT_EQ(incomplete_beta(3, 4, 1), 1.0);
  EXPECT_TRUE(std::isnan(incomplete_beta(0, 4, 0.5)));
  EXPECT_TRUE(std::isnan(incomplete_beta(3, 4, 1.5)));
  EXPECT_TRUE(std::isnan(incomplete_beta(3, 4, std::nan(""))));
}

TEST(ChancePValueTest, HasItsClosedFormsInTwoAndThreeDimensions) {
  for (const double c : {0.0, 0.1, 0.5, 0.999}) {
    expect_relative(chance_p_value(c, 2), 2 / M_PI * std::acos(c), kPromised);  // uniform angle
    expect_relative(chance_p_value(c, 3), 1 - c, kPromised);  // Archimedes: uniform height
  }
}

TEST(ChancePValueTest, FallsFromOneToZeroAndSurvivesRoundingPastOne) {
  double before = 1.0;
  EXPECT_EQ(chance_p_value(0.0, 768), 1.0);
  for (const double c : {0.01, 0.05, 0.2, 0.5, 0.9}) {
    EXPECT_LT(chance_p_value(c, 768), before);
    before = chance_p_value(c, 768);
  }
  EXPECT_EQ(chance_p_value(1.0, 768), 0.0);
  EXPECT_EQ(chance_p_value(1.0 + 1e-15, 768), 0.0);
}

TEST(ChancePValueTest, IsOneOnALine) { EXPECT_EQ(chance_p_value(1.0, 1), 1.0); }

TEST(ChancePValueTest, IntegratesToTheMeanCosineOfRandomDirections) {
  // E|cos| = integral of P(|cos| >= c) over [0, 1] = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)); the
  // midpoint rule with 20 000 points on a smooth integrand is good to 1e-7
  constexpr int kPoints = 20'000;
  for (const int d : {5, 64, 576}) {
    double integral = 0;
    for (int i = 0; i < kPoints; ++i) integral += chance_p_value((i + 0.5) / kPoints, d) / kPoints;
    const double mean =
        std::exp(std::lgamma(d / 2.0) - std::lgamma((d + 1) / 2.0)) / std::sqrt(M_PI);
    expect_relative(integral, mean, 1e-6);
  }
}

}  // namespace
}  // namespace deadray
