#include "host/prediction/compare_norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

namespace deadray {
namespace {

using Vector = std::vector<double>;
constexpr double kUnitRoundoff = 0x1p-53;

NormChange compare(const Vector& a, const Vector& b, NormKind kind = NormKind::layernorm) {
  return compare_norms(a, predict(kind, a, {}), b, predict(kind, b, {}));
}

/// Signed, over about two decades: what trained random_scales look like.
Vector random_scales(std::size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> log_magnitude(-3.0, 1.0);
  Vector values(n);
  for (double& x : values)
    x = std::exp(log_magnitude(generator)) * (generator() % 4 == 0 ? -1.0 : 1.0);
  return values;
}

struct Expected {
  long double one_minus_abs_cos, angle, gamma_change;
};

/// In extended precision, the sine from Lagrange's identity: sum over i < j of (u_i v_j - u_j
/// v_i)^2 is |u|^2 |v|^2 sin^2. It shares no formula with what is tested.
Expected expected(const Vector& a, const Vector& b) {
  long double uu = 0, vv = 0, uv = 0, wedge = 0, moved = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const long double u = 1.0L / a[i], v = 1.0L / b[i],
                      step = static_cast<long double>(b[i]) - a[i];
    uu += u * u, vv += v * v, uv += u * v;
    moved += step * step, square += static_cast<long double>(a[i]) * a[i];
    for (std::size_t j = i + 1; j < a.size(); ++j) {
      const long double w = u / b[j] - v / a[j];
      wedge += w * w;
    }
  }
  const long double sine = std::sqrt(wedge / (uu * vv)),
                    cosine = std::fabs(uv) / std::sqrt(uu * vv);
  return {sine * sine / (1 + cosine), std::atan2(sine, cosine), std::sqrt(moved / square)};
}

/// v* has 4 roundings in each 1/gamma_i, one in its scaling, and its length those of a sum of d
/// squares in 16 lanes or more: below 16 in all for d to 64. Both vectors, and as many again for
/// the distances: an angle is off by at most 64 roundoffs.
constexpr double kAngleBound = 64 * kUnitRoundoff;

TEST(CompareNormsTest, GivesTheAngleOfBothDirections) {
  const Vector a = random_scales(64, 1);
  for (const double size : {1e-12, 1e-9, 1e-6, 1e-3, 0.5, 3.0, 1e4}) {
    Vector b = a;
    for (std::size_t i = 0; i < b.size(); ++i)
      b[i] *= 1.0 + size * std::sin(static_cast<double>(i));
    const NormChange change = compare(a, b);
    const Expected want = expected(a, b);
    ASSERT_TRUE(change.dead);
    EXPECT_NEAR(change.dead->angle, static_cast<double>(want.angle), kAngleBound) << size;
    EXPECT_NEAR(change.dead->abs_cos, static_cast<double>(1 - want.one_minus_abs_cos), kAngleBound);
    // 1 - cos is angle^2/2 to first order: off by the angle times its error.
    EXPECT_NEAR(change.dead->one_minus_abs_cos, static_cast<double>(want.one_minus_abs_cos),
                (2 * static_cast<double>(want.angle) + kAngleBound) * kAngleBound)
        << size;
    // A difference, a square, a sum of 64 of each, a quotient, a root.
    EXPECT_NEAR(change.gamma / static_cast<double>(want.gamma_change), 1.0, 70 * kUnitRoundoff)
        << size;
  }
}

TEST(CompareNormsTest, ResolvesOneScaleThatMoved) {
  // gamma = 1 but for the last, 1/(1 + e): tan of the angle between 1 and 1 + e e_d is
  // e sqrt(d - 1)/(d + e).
  const Vector ones(16, 1.0);
  for (const double e : {0x1p-40, 0x1p-30, 0x1p-10, 1.0}) {
    Vector b = ones;
    b.back() = 1.0 / (1.0 + e);
    const NormChange change = compare(ones, b);
    ASSERT_TRUE(change.dead);
    EXPECT_NEAR(change.dead->angle, std::atan2(e * std::sqrt(15.0), 16.0 + e), kAngleBound) << e;
    EXPECT_NEAR(change.gamma, e / (1.0 + e) / 4.0, kAngleBound);
  }
}

TEST(CompareNormsTest, FindsNoChangeInEqualScalesAndNoAngleInASignOrAFactor) {
  const Vector a = random_scales(64, 2);
  const NormChange same = compare(a, a);
  EXPECT_EQ(same.dead->abs_cos, 1.0);
  EXPECT_EQ(same.dead->one_minus_abs_cos, 0.0);
  EXPECT_EQ(same.dead->angle, 0.0);
  EXPECT_EQ(same.gamma, 0.0);
  for (const double factor : {-1.0, 3.0, -1e-3}) {
    Vector b = a;
    for (double& x : b) x *= factor;
    const NormChange scaled = compare(a, b);
    EXPECT_NEAR(scaled.dead->angle, 0.0, kAngleBound);
    EXPECT_LT(scaled.dead->one_minus_abs_cos, 1e-28);
    EXPECT_NEAR(scaled.gamma, std::fabs(factor - 1.0), 1e-14);
  }
}

TEST(CompareNormsTest, FindsARightAngle) {
  const NormChange change = compare({1, 1, 1, 1}, {1, -1, 1, -1});
  EXPECT_EQ(change.dead->abs_cos, 0.0);
  EXPECT_EQ(change.dead->one_minus_abs_cos, 1.0);
  EXPECT_DOUBLE_EQ(change.dead->angle, std::numbers::pi / 2);
}

TEST(CompareNormsTest, ComparesTheSpansOfPracticallyZeroScales) {
  const auto angle = [](const Vector& a, const Vector& b) { return compare(a, b).dead->angle; };
  EXPECT_EQ(angle({0, 1, 1e-30, 1}, {1e-20, 2, 0, 1}), 0.0) << "the same coordinates";
  EXPECT_EQ(angle({0, 1, 0, 1}, {0, 1, 1, 1}), 0.0) << "the smaller one inside the larger";
  EXPECT_EQ(angle({0, 1, 1, 1}, {0, 1, 0, 1}), 0.0);
  EXPECT_DOUBLE_EQ(angle({0, 1, 1, 1}, {1, 1, 0, 1}), std::numbers::pi / 2) << "others";
  EXPECT_DOUBLE_EQ(angle({0, 1, 0, 1}, {0, 1, 1, 0}), std::numbers::pi / 2) << "one of two";
}

TEST(CompareNormsTest, ComparesADirectionWithASpan) {
  // v* is (1, 1, 1, 1)/2: half of its square lies in the span of two coordinates.
  for (const bool turned : {false, true}) {
    const Vector ones(4, 1.0), zeros{0, 1, 0, 1};
    const NormChange change = turned ? compare(zeros, ones) : compare(ones, zeros);
    EXPECT_DOUBLE_EQ(change.dead->angle, std::numbers::pi / 4);
    EXPECT_DOUBLE_EQ(change.dead->abs_cos, std::numbers::sqrt2 / 2);
    EXPECT_DOUBLE_EQ(change.dead->one_minus_abs_cos, 1 - std::numbers::sqrt2 / 2);
  }
}

TEST(CompareNormsTest, GivesAnRmsNormItsChangeAlone) {
  const NormChange change = compare({3, 4}, {3, 4.5}, NormKind::rmsnorm);
  EXPECT_FALSE(change.dead);
  EXPECT_DOUBLE_EQ(change.gamma, 0.1);
  EXPECT_TRUE(compare({0, 4}, {0, 4.5}, NormKind::rmsnorm).dead) << "zeros of both";
  EXPECT_FALSE(compare({0, 4}, {3, 4.5}, NormKind::rmsnorm).dead) << "of one alone";
}

TEST(CompareNormsTest, StandsScalesOfAnyRange) {
  const double huge = std::numeric_limits<double>::max(),
               tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_DOUBLE_EQ(compare({huge, huge}, {huge, -huge}).gamma, std::numbers::sqrt2);
  EXPECT_DOUBLE_EQ(compare({tiny, tiny}, {2 * tiny, 2 * tiny}).gamma, 1.0);
  EXPECT_DOUBLE_EQ(compare({1e-200, 1e-200}, {1, 1}).gamma, 1e200);
  EXPECT_TRUE(std::isinf(compare({tiny, tiny}, {huge, huge}).gamma));
  EXPECT_NEAR(compare({1e-250, 1e-250}, {1e-250, 2e-250}).dead->angle, std::atan2(1, 3),
              kAngleBound);
}

}  // namespace
}  // namespace deadray
