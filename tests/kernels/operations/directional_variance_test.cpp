#include "kernels/operations/directional_variance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/operations/norm_reference.h"

namespace deadray::kernels {
namespace {

constexpr double kVarianceUnit = 0x1p-53;  // unit roundoff of FP64

std::vector<double> random_directions(std::int64_t count, std::int64_t hidden_size) {
  std::vector<double> directions;
  for (const float x : normals(11, count * hidden_size))
    directions.push_back(x / std::sqrt(static_cast<double>(hidden_size)));
  return directions;
}

std::vector<RunningMoments> measure(const TestRows& x, const TestNorm& norm,
                                    const std::vector<double>& directions) {
  const std::int64_t count = static_cast<std::int64_t>(directions.size()) / x.hidden_size;
  std::vector<RunningMoments> moments(static_cast<std::size_t>(count));
  directional_variance(x.view(), norm.arguments(), directions.data(), count, moments.data());
  return moments;
}

struct Reference {
  long double mean = 0, variance = 0;
  /// Largest sum_i |v_i h_i| of a row: what the rounding of a projection is relative to.
  double size = 0;
};
Reference reference(const TestRows& x, const TestNorm& norm, const double* v) {
  std::vector<long double> projections;
  Reference result;
  for (std::int64_t t = 0; t < x.n_tokens; ++t) {
    const std::vector<long double> h = reference_norm(x, norm, t);
    long double sum = 0, size = 0;
    for (std::int64_t i = 0; i < x.hidden_size; ++i) {
      const long double term = v[i] * h[static_cast<std::size_t>(i)];
      sum += term, size += std::abs(term);
    }
    projections.push_back(sum);
    result.size = std::max(result.size, static_cast<double>(size));
  }
  for (const long double p : projections) result.mean += p / projections.size();
  for (const long double p : projections)
    result.variance += (p - result.mean) * (p - result.mean) / projections.size();
  return result;
}

class DirectionalVarianceTest : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {
};

// A projection errs by at most (3 n/8 + 16) u size: the norm's n/4 + 8 of its own test and the dot
// product's n/8 + 8. The mean of N projections adds N u: together e. The variance errs by
// 2 sqrt(variance) e + e^2 and by the rounding of its own sums, N u relatively.
TEST_P(DirectionalVarianceTest, AgreesWithLongDoubleWithinTheBound) {
  const auto [norm_type, element_type] = GetParam();
  for (const auto& [n_tokens, hidden_size, n_directions] : {std::tuple<int, int, int>{1, 1, 1},
                                                            {5, 7, 3},
                                                            {33, 64, 2},
                                                            {19, 257, 32},
                                                            {70, 768, 5},
                                                            {9, 4096, 4}}) {
    const TestRows x = gaussian_rows(n_tokens, hidden_size, element_type, 1.0, 0.2);
    const TestNorm norm = random_norm(norm_type, hidden_size, 1e-5);
    const std::vector<double> directions = random_directions(n_directions, hidden_size);
    const std::vector<RunningMoments> got = measure(x, norm, directions);
    for (std::int64_t k = 0; k < n_directions; ++k) {
      const Reference want = reference(x, norm, directions.data() + k * hidden_size);
      const double e = (3 * hidden_size / 8.0 + 16 + n_tokens) * kVarianceUnit * want.size,
                   variance = static_cast<double>(want.variance);
      const RunningMoments& moments = got[static_cast<std::size_t>(k)];
      EXPECT_EQ(moments.count, n_tokens);
      EXPECT_NEAR(moments.mean, static_cast<double>(want.mean), e)
          << hidden_size << " direction " << k;
      EXPECT_NEAR(moments.variance(), variance,
                  2 * std::sqrt(variance) * e + e * e + n_tokens * kVarianceUnit * variance)
          << hidden_size << " direction " << k;
    }
  }
}

TEST_P(DirectionalVarianceTest, TilesMergeIntoTheWhole) {
  const auto [norm_type, element_type] = GetParam();
  const TestRows x = gaussian_rows(301, 96, element_type, 1.0, 0.2);
  const TestNorm norm = random_norm(norm_type, 96, 1e-5);
  const std::vector<double> directions = random_directions(3, 96);
  const std::vector<RunningMoments> whole = measure(x, norm, directions);
  std::vector<RunningMoments> pieces(3);
  for (const auto& [first, count] :
       {std::pair<std::int64_t, std::int64_t>{0, 1}, {1, 200}, {201, 0}, {201, 100}}) {
    directional_variance(x.view().slice(first, count), norm.arguments(), directions.data(), 3,
                         pieces.data());
  }
  // Two orders of summation of 301 terms, each within 301 u.
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(pieces[k].count, 301);
    EXPECT_NEAR(
        pieces[k].mean, whole[k].mean,
        2 * 301 * kVarianceUnit * std::sqrt(whole[k].variance() + whole[k].mean * whole[k].mean));
    EXPECT_NEAR(pieces[k].variance(), whole[k].variance(),
                2 * 301 * kVarianceUnit * whole[k].variance());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DirectionalVarianceTest,
    ::testing::Combine(::testing::Values(NormType::layernorm, NormType::rmsnorm),
                       ::testing::Values(ElementType::float32, ElementType::float64,
                                         ElementType::bfloat16)));

/// Variance along the unit vector of 1/gamma, with shift = beta.
double variance_along_inverse_gamma(NormType type, std::int64_t hidden_size) {
  const TestRows x = gaussian_rows(200, hidden_size, ElementType::float32, 1.0, 0.2);
  TestNorm norm = random_norm(type, hidden_size, 1e-5);
  norm.shift = norm.beta;
  std::vector<double> v;
  double square = 0.0;
  for (const double gamma : norm.gamma) v.push_back(1 / gamma), square += 1 / (gamma * gamma);
  for (double& component : v) component /= std::sqrt(square);
  return measure(x, norm, v)[0].variance();
}

// |<v*, h>| = |sum z| / |1/gamma| up to the rounding of two sums of n numbers of size 1: far below
// n u, whose square is 8e-25 at n = 8192.
TEST(DirectionalVarianceLayerNormTest, InverseGammaHasNoVariance) {
  for (const std::int64_t hidden_size : {64, 256, 768, 4096}) {
    const double bound = static_cast<double>(hidden_size) * kVarianceUnit;
    EXPECT_LT(variance_along_inverse_gamma(NormType::layernorm, hidden_size), bound * bound)
        << hidden_size;
  }
}

TEST(DirectionalVarianceRmsNormTest, InverseGammaHasVariance) {
  for (const std::int64_t hidden_size : {64, 256, 768, 4096})
    EXPECT_GT(variance_along_inverse_gamma(NormType::rmsnorm, hidden_size), 1e-3) << hidden_size;
}

// beta of 1e6 has <v, beta> = 1e6-ish: projected without the shift its rounding, (1e6 u)^2 = 1e-20,
// is what the variance shows.
TEST(DirectionalVarianceLayerNormTest, ShiftKeepsLargeBetaFromDrowningTheDeadDirection) {
  const TestRows x = gaussian_rows(200, 256, ElementType::float32, 1.0, 0.0);
  TestNorm norm = random_norm(NormType::layernorm, 256, 1e-5);
  for (double& beta : norm.beta) beta *= 1e6;
  const std::vector<double> v = [&] {
    std::vector<double> inverse;
    for (const double gamma : norm.gamma) inverse.push_back(1 / gamma / 16);
    return inverse;
  }();
  norm.shift.assign(256, 0.0);
  const double drowned = measure(x, norm, v)[0].variance();
  norm.shift = norm.beta;
  const double resolved = measure(x, norm, v)[0].variance();
  double square = 0.0;
  for (const double component : v) square += component * component;
  EXPECT_LT(resolved, std::pow(256 * kVarianceUnit, 2) * square);  // as InverseGammaHasNoVariance
  EXPECT_GT(drowned, 1e4 * resolved);
}

TEST(RunningMomentsTest, MergingEmptySamplesChangesNothing) {
  RunningMoments empty, some;
  some.add(3.0);
  some.add(5.0);
  const RunningMoments before = some;
  some.merge(empty);
  EXPECT_EQ(some.mean, before.mean);
  empty.merge(some);
  EXPECT_EQ(empty.count, 2.0);
  EXPECT_EQ(empty.mean, 4.0);
  EXPECT_EQ(empty.variance(), 1.0);
  EXPECT_EQ(RunningMoments{}.variance(), 0.0);
}

// Values about 1e9 with a variance of 1: the sum of squares would keep no digit of it (1e18 u > 1);
// merging keeps N u 1e9 of each deviation.
TEST(RunningMomentsTest, LargeMeanDoesNotDrownTheVariance) {
  RunningMoments moments;
  for (int i = 0; i < 1000; ++i) moments.add(1e9 + (i % 2 ? 1.0 : -1.0));
  EXPECT_NEAR(moments.variance(), 1.0, 1000 * kVarianceUnit * 1e9);
}

}  // namespace
}  // namespace deadray::kernels
