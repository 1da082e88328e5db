#include "verify/eigh.h"

#include <gtest/gtest.h>

#include "tests/verify/spectra.h"

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

INSTANTIATE_TEST_SUITE_P(Sizes, EighTest, ::testing::Values(1, 2, 7, 64, 257));

}  // namespace
}  // namespace deadray
