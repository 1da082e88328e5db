#include "verify/numerics/eigh.h"

#include <gtest/gtest.h>

#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;

/// LAPACK's own tests bound the scaled errors by 30. Here they are those of the whole products; the
/// function itself looks at a few random vectors.
void expect_eigenvectors(const at::Tensor& c, const at::Tensor& values, const at::Tensor& vectors) {
  const double allowed = 30 * static_cast<double>(c.size(0)) * kEps;
  const at::Tensor unit = at::eye(vectors.size(1), fp64());
  EXPECT_LE(one_norm(c.mm(vectors) - vectors * values), allowed * one_norm(c));
  EXPECT_LE(one_norm(vectors.t().mm(vectors) - unit), allowed);
}

class EighTest : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(EighTest, MeetsLapacksBoundsAndFindsTheSpectrum) {
  const std::int64_t d = GetParam();
  const at::Tensor q = orthogonal(d, 17);
  for (const auto& s : hard_spectra(d)) {
    SCOPED_TRACE(s.name);
    const at::Tensor c = with_spectrum(q, s.values);
    const Eigendecomposition e = eigh(c);
    expect_eigenvectors(c, e.values, e.vectors);
    EXPECT_LE((e.values - s.values).abs().max().item<double>(), tolerance(s));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, EighTest, ::testing::Values(1, 2, 7, 64, 257));

}  // namespace
}  // namespace deadray
