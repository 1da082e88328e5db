#include "verify/numerics/moments.h"

#include <gtest/gtest.h>

#include <vector>

#include "host/base/error.h"
#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;

/// Two-pass reference, straight from the definition.
at::Tensor covariance_of(const at::Tensor& rows) {
  const at::Tensor centred = rows.to(at::kDouble) - rows.to(at::kDouble).mean(0);
  return centred.t().mm(centred) / static_cast<double>(rows.size(0));
}

CentredMoments moments_of(const at::Tensor& rows, std::int64_t tile, at::Tensor shift = {}) {
  CentredMoments moments(rows.size(1), std::move(shift));
  for (std::int64_t begin = 0; begin < rows.size(0); begin += tile)
    moments.add(rows.narrow(0, begin, std::min(tile, rows.size(0) - begin)));
  return moments;
}

/// Dot products of n terms of unit variance: n u each way, and the mean's own rounding.
void expect_same(const at::Tensor& got, const at::Tensor& want, std::int64_t n) {
  EXPECT_LE((got - want).abs().max().item<double>(),
            4 * static_cast<double>(n) * kEps * want.abs().max().item<double>());
}

TEST(CentredMomentsTest, AgreesWithTheDefinitionWhateverTheTiles) {
  for (const std::int64_t d : {1, 2, 7, 64, 600}) {  // 600 needs five panels
    const at::Tensor rows = gaussian(3000, d, 1) + 0.5;
    for (const std::int64_t tile : {1000, 2049, 3000}) {
      CentredMoments moments = moments_of(rows, tile);
      EXPECT_EQ(moments.count(), 3000);
      expect_same(moments.mean(), rows.mean(0), 3000);
      expect_same(moments.covariance(), covariance_of(rows), 3000);
      expect_same(moments.second_moment(), rows.t().mm(rows) / 3000.0, 3000);
      const at::Tensor covariance = moments.covariance();
      EXPECT_TRUE(at::equal(moments.take_covariance(), covariance));
    }
  }
}

TEST(CentredMomentsTest, IsExactlySymmetric) {
  const at::Tensor c = moments_of(gaussian(1500, 700, 2), 500).covariance();
  EXPECT_TRUE(at::equal(c, c.t()));
}

TEST(CentredMomentsTest, TakesFloat32AndBfloat16AsTheyAre) {
  const at::Tensor rows = gaussian(500, 33, 3);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor rounded = rows.to(dtype);
    expect_same(moments_of(rounded, 200).covariance(), covariance_of(rounded), 500);
  }
}

TEST(CentredMomentsTest, LosesNothingToALargeMean) {
  const at::Tensor rows = gaussian(800, 16, 4), far = rows + 1e6;
  // the rows themselves round at 1e6 u: that is the error left, not (1e6)^2 u
  EXPECT_LE((moments_of(far, 100).covariance() - covariance_of(rows)).abs().max().item<double>(),
            10 * 1e6 * kEps);
}

TEST(CentredMomentsTest, GivesExactlyZeroForConstantRows) {
  const at::Tensor row = gaussian(1, 24, 5) * 1e3;
  for (const at::Tensor& shift : {at::Tensor{}, gaussian(24, 1, 6).squeeze(1)}) {
    const CentredMoments moments = moments_of(row.expand({5000, 24}), 777, shift);
    EXPECT_EQ(moments.covariance().abs().max().item<double>(), 0.0);
    expect_same(moments.mean(), row[0], 2);
  }
}

TEST(CentredMomentsTest, GivesExactlyZeroForAConstantCoordinate) {
  const at::Tensor rows = gaussian(900, 8, 7);
  rows.select(1, 3).fill_(0.1);
  const at::Tensor c = moments_of(rows, 200).covariance();
  EXPECT_EQ(c[3].abs().max().item<double>(), 0.0);
  EXPECT_GT(c[2][2].item<double>(), 0.5);
}

TEST(CentredMomentsTest, MergesWhateverTheShifts) {
  const at::Tensor rows = gaussian(2000, 40, 8) + 3;
  CentredMoments left = moments_of(rows.narrow(0, 0, 1300), 500, at::full({40}, 3.0, fp64()));
  left.merge(moments_of(rows.narrow(0, 1300, 700), 300, at::full({40}, -20.0, fp64())));
  EXPECT_EQ(left.count(), 2000);
  expect_same(left.mean(), rows.mean(0), 2000);
  // a mean kept 23 away from its shift rounds at 23 u
  EXPECT_LE((left.covariance() - covariance_of(rows)).abs().max().item<double>(), 2000 * 23 * kEps);
}

TEST(CentredMomentsTest, MergesIntoAndWithNothing) {
  const at::Tensor rows = gaussian(50, 5, 9);
  CentredMoments empty(5), full = moments_of(rows, 50);
  full.merge(CentredMoments(5));
  empty.merge(full);
  EXPECT_EQ(empty.count(), 50);
  expect_same(empty.covariance(), covariance_of(rows), 50);
}

TEST(CentredMomentsTest, IsZeroBeforeAnyRow) {
  CentredMoments moments(3);
  moments.add(at::empty({0, 3}, fp64()));
  EXPECT_EQ(moments.count(), 0);
  EXPECT_EQ(moments.covariance().abs().max().item<double>(), 0.0);
  EXPECT_EQ(moments.mean().abs().max().item<double>(), 0.0);
}

TEST(CentredMomentsTest, RefusesRowsOfAnotherWidth) {
  EXPECT_THROW(CentredMoments(3).add(at::zeros({2, 4}, fp64())), InternalError);
}

TEST(CentredMomentsTest, LeavesItsInputAlone) {
  const at::Tensor rows = gaussian(10, 4, 10), copy = rows.clone();
  moments_of(rows, 10);
  EXPECT_TRUE(at::equal(rows, copy));
}

TEST(DirectionalMomentsTest, AgreesWithProjectedRows) {
  const at::Tensor rows = gaussian(3000, 20, 11) * 2 + 1, directions = gaussian(4, 20, 12),
                   shift = at::ones({20}, fp64());
  DirectionalMoments moments(directions, shift);
  for (std::int64_t begin = 0; begin < 3000; begin += 700)
    moments.add(rows.narrow(0, begin, std::min<std::int64_t>(700, 3000 - begin)));
  const at::Tensor projected = (rows - 1).mm(directions.t());
  EXPECT_EQ(moments.count(), 3000);
  expect_same(moments.mean(), projected.mean(0), 3000);
  expect_same(moments.variance(), projected.var(0, /*unbiased=*/false), 3000);
}

TEST(DirectionalMomentsTest, ResolvesWhatAFormedCovarianceCannot) {
  const std::int64_t d = 64, n = 4096;
  const at::Tensor gamma = gaussian(1, d, 13).squeeze(0), beta = gaussian(1, d, 14).squeeze(0);
  const at::Tensor h = normalised(gaussian(n, d, 15)) * gamma + beta,
                   v = (1 / gamma) / (1 / gamma).norm(), e = at::zeros({d}, fp64());
  e[0].fill_(1);
  DirectionalMoments moments(at::stack({v, e}), beta);
  moments.add(h);
  // <v, h - beta> is a dot product whose terms are at most |v_i gamma_i z_i| and whose rows were
  // rounded at |h| u: some (d u)^2 in all
  EXPECT_LE(moments.variance()[0].item<double>(), std::pow(4 * kEps, 2) * d);
  EXPECT_GT(moments.variance()[1].item<double>(), 1e-3);
}

}  // namespace
}  // namespace deadray
