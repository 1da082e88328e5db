#include "verify/numerics/bottom_eigh.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;

class BottomEighTest : public ::testing::TestWithParam<std::int64_t> {};

// Where eigenvalues are close, the vectors need not be those of a full decomposition. They must be
// eigenvectors, and their variances the smallest eigenvalues.
TEST_P(BottomEighTest, FindsEigenvectorsOfTheSmallestEigenvalues) {
  const std::int64_t d = GetParam();
  const at::Tensor q = orthogonal(d, 18);
  for (const auto& s : hard_spectra(d)) {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{3}}) {
      if (count > d) continue;
      SCOPED_TRACE(s.name + ", " + std::to_string(count));
      const at::Tensor c = with_spectrum(q, s.values);
      const Eigendecomposition e = bottom_eigh(c, count);
      EXPECT_EQ(e.vectors.sizes(), (at::IntArrayRef{d, count}));
      EXPECT_LE((e.values - s.values).abs().max().item<double>(), tolerance(s));
      const at::Tensor variances = (e.vectors * c.mm(e.vectors)).sum(0);
      const double allowed = 30 * static_cast<double>(d) * kEps;  // as LAPACK's own tests
      EXPECT_LE(one_norm(c.mm(e.vectors) - e.vectors * variances), allowed * one_norm(c));
      EXPECT_LE(one_norm(e.vectors.t().mm(e.vectors) - at::eye(count, fp64())), allowed);
      EXPECT_LE((variances - s.values.narrow(0, 0, count)).abs().max().item<double>(),
                tolerance(s));
    }
  }
}

TEST(BottomEighGapTest, PinsDownASingleNullDirection) {
  const std::int64_t d = 257;
  const at::Tensor q = orthogonal(d, 19);
  at::Tensor values = at::linspace(0.1, 1.0, d, fp64());
  values[0].fill_(0.0);
  const Eigendecomposition e = bottom_eigh(with_spectrum(q, values), 1);
  EXPECT_NE(e.driver.find("inverse"), std::string::npos) << e.driver;
  // Davis and Kahan: the sine of the angle is at most the error of forming the matrix, d u, over
  // the gap.
  const at::Tensor u = e.vectors.select(1, 0), v = q.select(1, 0);
  EXPECT_LT((u - v * v.dot(u)).norm().item<double>(), 257 * kEps / 0.1);
}

// Where gamma_i is 0, a row and a column of C are. Rounding then never stops the iteration.
TEST(BottomEighGapTest, FindsTheCoordinateOfAZeroRow) {
  const std::int64_t d = 257, zero = 100;
  const at::Tensor c = with_spectrum(orthogonal(d, 21), at::linspace(0.1, 1.0, d, fp64()));
  c[zero].zero_();
  c.select(1, zero).zero_();
  const Eigendecomposition e = bottom_eigh(c, 1);
  EXPECT_NE(e.driver.find("inverse"), std::string::npos) << e.driver;
  EXPECT_NEAR(e.values[0].item<double>(), 0.0, 257 * kEps);
  EXPECT_NEAR(std::abs(e.vectors[zero][0].item<double>()), 1.0, 1e-14);
}

// Eigenvalues evenly spaced: after eight iterations the last of twelve vectors has not converged,
// so the full decomposition is taken. It has all its vectors; twelve come back.
TEST(BottomEighGapTest, TakesTheFullDecompositionWithoutAGap) {
  const std::int64_t d = 257;
  const at::Tensor values = 1.0 + 1e-3 * at::arange(d, fp64());
  const Eigendecomposition e = bottom_eigh(with_spectrum(orthogonal(d, 20), values), 12);
  EXPECT_EQ(e.driver, "LAPACK dsyevd");
  EXPECT_EQ(e.vectors.size(1), 12);
}

INSTANTIATE_TEST_SUITE_P(Sizes, BottomEighTest, ::testing::Values(1, 2, 7, 64, 257));

}  // namespace
}  // namespace deadray
