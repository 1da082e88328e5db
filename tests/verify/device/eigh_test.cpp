#include "verify/device/eigh.h"

#include <gtest/gtest.h>

#include "tests/verify/spectrum/spectra.h"
#include "verify/device/bottom_eigh.h"

namespace deadray {
namespace {

using namespace testing;

class EighTest : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(EighTest, MeetsLapacksBoundsAndFindsTheSpectrum) {
  const std::int64_t d = GetParam();
  const at::Tensor q = orthogonal(d, 17);
  for (const auto& s : hard_spectra(d)) {
    SCOPED_TRACE(s.name);
    const Eigendecomposition e = eigh(with_spectrum(q, s.values));
    EXPECT_LT(e.residual, 30.0);
    EXPECT_LT(e.orthogonality, 30.0);
    EXPECT_LE((e.values - s.values).abs().max().item<double>(), tolerance(s));
  }
}

// The vectors need not be those of a full decomposition where eigenvalues are close; what they must
// be is eigenvectors, of the smallest.
TEST_P(EighTest, FindsTheBottomByInverseIterationToo) {
  const std::int64_t d = GetParam();
  const at::Tensor q = orthogonal(d, 18);
  for (const auto& s : hard_spectra(d)) {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{3}}) {
      if (count > d) continue;
      SCOPED_TRACE(s.name + ", " + std::to_string(count));
      const at::Tensor c = with_spectrum(q, s.values);
      const Eigendecomposition e = bottom_eigh(c, count);
      EXPECT_EQ(e.vectors.sizes(), (at::IntArrayRef{d, count}));
      EXPECT_LT(e.residual, 30.0);
      EXPECT_LT(e.orthogonality, 30.0);
      EXPECT_LE((e.values - s.values).abs().max().item<double>(), tolerance(s));
      const at::Tensor variances = (e.vectors * c.mm(e.vectors)).sum(0);
      EXPECT_LE((variances - s.values.narrow(0, 0, count)).abs().max().item<double>(),
                tolerance(s));
    }
  }
}

TEST(BottomEighTest, PinsDownASingleNullDirection) {
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

// Evenly spaced: after eight iterations the last of twelve has not converged, and the full
// decomposition is taken; what it is must not show.
TEST(BottomEighTest, TakesTheFullDecompositionWithoutAGap) {
  const std::int64_t d = 257;
  const at::Tensor values = 1.0 + 1e-3 * at::arange(d, fp64());
  const Eigendecomposition e = bottom_eigh(with_spectrum(orthogonal(d, 20), values), 12);
  EXPECT_LT(e.residual, 30.0);
  EXPECT_EQ(e.vectors.size(1), 12);
}

INSTANTIATE_TEST_SUITE_P(Sizes, EighTest, ::testing::Values(1, 2, 7, 64, 257));

}  // namespace
}  // namespace deadray
