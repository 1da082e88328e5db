#include "verify/spectrum/schur.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/verify/spectrum/spectra.h"
#include "verify/numerics/moments.h"

namespace deadray {
namespace {

using namespace testing;

at::Tensor covariance_of(const at::Tensor& rows) {
  CentredMoments moments(rows.size(1));
  moments.add(rows);
  return moments.covariance();
}

/// R^2 of regressing <v, x> on the d-1 coordinates orthogonal to v, by least squares on the rows.
double regression_r2(const at::Tensor& rows, const at::Tensor& v) {
  const auto d = rows.size(1);
  const at::Tensor frame = std::get<0>(
      at::linalg_qr(at::cat({v.unsqueeze(1), gaussian(d, d - 1, 41)}, 1)));  // first column is +-v
  const at::Tensor turned = (rows - rows.mean(0)).mm(frame), y = turned.narrow(1, 0, 1),
                   x = turned.narrow(1, 1, d - 1);
  const at::Tensor rest = y - x.mm(std::get<0>(at::linalg_lstsq(x, y)));
  return 1 - (rest.square().sum() / y.square().sum()).item<double>();
}

at::Tensor unit(const at::Tensor& v) { return v / v.norm(); }

TEST(SchurRatioTest, IsTheR2OfTheRegressionOnTheOtherCoordinates) {
  for (const std::int64_t d : {2, 5, 40}) {
    const at::Tensor rows = gaussian(500, d, 42).mm(gaussian(d, d, 43)) + 2,
                     v = unit(gaussian(d, 1, 44).squeeze(1));
    // kappa(C) of a random square mix is some d^2 to d^4: 1e-8 leaves room for its u kappa
    EXPECT_NEAR(*schur_ratio(covariance_of(rows), v), regression_r2(rows, v), 1e-8) << d;
  }
}

TEST(SchurRatioTest, IsZeroForIndependentCoordinatesAndKnownForTwo) {
  const at::Tensor e = tensor_of({1, 0});
  EXPECT_NEAR(*schur_ratio(at::eye(2, fp64()), e), 0.0,
              1e-15);  // 1 - 1/(1 * 1): no sum, so some u at most
  for (const double rho : {0.1, 0.9, -0.999}) {
    const at::Tensor c = tensor_of({4, 2 * rho, 2 * rho, 1}).reshape({2, 2});
    EXPECT_NEAR(*schur_ratio(c, e), rho * rho,
                1e-13);  // kappa(C) is at most 4/(1 - rho^2), so some 1e3 u
  }
}

TEST(SchurRatioTest, DoesNotChangeWithScale) {
  // One rounding of each entry by a scale that is no power of two: u kappa(C), kappa of 300
  // Gaussian rows in 12 dimensions below 3.
  const at::Tensor c = covariance_of(gaussian(300, 12, 45)),
                   v = unit(gaussian(12, 1, 46).squeeze(1));
  for (const double scale : {1e-60, 1e60})
    EXPECT_NEAR(*schur_ratio(c * scale, v), *schur_ratio(c, v), 1e-13);
}

TEST(SchurRatioTest, IsOneWhereTheOthersDetermineTheCoordinate) {
  // Exactly singular, v not in the null space but leaning on it.
  const at::Tensor rows = gaussian(300, 10, 47);
  rows.select(1, 0).copy_(rows.select(1, 1) + rows.select(1, 2));
  const at::Tensor e = at::zeros({10}, fp64());
  e[0].fill_(1);
  // What remains of the eigenvalue 0 is at most some d u lambda_d (raised to the floor d u
  // lambda_d): 1 - ratio is that over v's variance.
  EXPECT_NEAR(*schur_ratio(covariance_of(rows), e), 1.0, 1e-10);
}

TEST(SchurRatioTest, IgnoresANullDirectionAwayFromV) {
  // C = diag(0, c) with v in the second block: the regression of the second block alone.
  const at::Tensor rows = gaussian(400, 9, 48).mm(gaussian(9, 9, 49)), v = at::zeros({9}, fp64());
  rows.select(1, 0).zero_();
  v.narrow(0, 1, 8).copy_(unit(gaussian(8, 1, 50).squeeze(1)));
  const double want = *schur_ratio(covariance_of(rows.narrow(1, 1, 8)), v.narrow(0, 1, 8));
  EXPECT_NEAR(*schur_ratio(covariance_of(rows), v), want,
              1e-8);  // u kappa(C) of a random square mix, as in the first test
}

TEST(SchurRatioTest, IsEmptyWhereVHasNoVariance) {
  const at::Tensor rows = gaussian(400, 20, 51), gamma = gaussian(1, 20, 52).squeeze(0);
  EXPECT_FALSE(schur_ratio(covariance_of(normalised(rows) * gamma), unit(1 / gamma)));
  EXPECT_FALSE(schur_ratio(at::zeros({3, 3}, fp64()), tensor_of({1, 0, 0})));
  EXPECT_FALSE(schur_ratio(at::full({3, 3}, std::nan(""), fp64()), tensor_of({1, 0, 0})));
}

TEST(SchurNullTest, IsTheMeanOverIndependentGaussianSamples) {
  // R^2 ~ Beta((d-1)/2, (N-d)/2): variance 2 (d-1)(N-d)/((N-1)^2 (N+1)). Four standard errors of
  // the mean over the repetitions.
  constexpr int kRepetitions = 200;
  for (const auto& [d, n] : {std::pair<std::int64_t, std::int64_t>{4, 20}, {16, 64}, {16, 400}}) {
    const at::Tensor v = unit(gaussian(d, 1, 53).squeeze(1));
    double mean = 0;
    for (int r = 0; r < kRepetitions; ++r)
      mean += *schur_ratio(covariance_of(gaussian(n, d, 1000 + r)), v) / kRepetitions;
    const double dd = static_cast<double>(d), nn = static_cast<double>(n);
    const double deviation = std::sqrt(2 * (dd - 1) * (nn - dd) / ((nn - 1) * (nn - 1) * (nn + 1)));
    EXPECT_NEAR(mean, schur_null(d, n), 4 * deviation / std::sqrt(kRepetitions)) << d << " " << n;
  }
}

TEST(SchurNullTest, IsOneWithoutMoreSamplesThanCoordinates) {
  EXPECT_EQ(schur_null(10, 10), 1.0);
  EXPECT_EQ(schur_null(10, 1), 1.0);
}

}  // namespace
}  // namespace deadray
