#include "verify/timing/power_law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace deadray {
namespace {

TEST(PowerLawTest, FindsTheLawThatMadeThePoints) {
  std::vector<CostPoint> points;
  for (const double d : {256.0, 512.0, 4096.0}) points.push_back({d, 3e-9 * std::pow(d, 2.75)});
  const auto law = fit_power_law(points);
  ASSERT_TRUE(law);
  // Logarithms up to 28 are rounded to u, 3e-15; the exponent is a quotient of two sums of three.
  EXPECT_NEAR(law->exponent, 2.75, 1e-12);
  EXPECT_NEAR(law->coefficient / 3e-9, 1.0, 1e-11) << "the exponent's rounding times log d";
  EXPECT_EQ(law->points, 3);
}

TEST(PowerLawTest, NeedsTwoSizes) {
  EXPECT_FALSE(fit_power_law({}));
  EXPECT_FALSE(fit_power_law(std::vector<CostPoint>{{512, 1.0}, {512, 2.0}}));
}

}  // namespace
}  // namespace deadray
