#include "verify/probe/comparison.h"

#include <gtest/gtest.h>

#include <cmath>

#include "host/base/statistics.h"
#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

TEST(BasisOfTest, IsTheDirectionOrTheCoordinatesOrNothing) {
  EXPECT_TRUE(
      at::allclose(basis_of(predicting(tensor_of({3, 4})), 2), tensor_of({0.6, 0.8}).unsqueeze(1)));
  const at::Tensor basis = basis_of(predicting_coordinates({1, 4}), 5);
  EXPECT_EQ(basis.sizes(), (std::vector<std::int64_t>{5, 2}));
  EXPECT_TRUE(at::equal(basis.t().mm(basis), at::eye(2, fp64())));
  EXPECT_EQ(basis[4][1].item<double>(), 1.0);
  EXPECT_EQ(basis_of(DeadSubspace{}, 5).sizes(), (std::vector<std::int64_t>{5, 0}));
}

// ---- the two spectral methods agree

// Activations as float32 and bfloat16 leave them: dead to the rounding of each element only, which
// couples the prediction to its complement.
TEST(SpectralMethodsRoundedTest, GiveTheSameAngleOfRoundedActivations) {
  const LayerNormCase c;
  for (const auto& [type, roundoff] : {std::pair{at::kFloat, 0x1p-24}, {at::kBFloat16, 0x1p-8}}) {
    const DeadSubspace predicted = predicting(1 / c.gamma);
    Measured measured = measure(c.h().to(type).to(at::kDouble), predicted, c.beta);
    measured.roundoff = roundoff;
    const Reading full = read(Method::eigh, predicted, measured),
                  cheap = read(Method::certificate, predicted, measured);
    ASSERT_TRUE(full.abs_cos && cheap.abs_cos);
    // The certificate bounds the sine of the angle by (D - sigma)^-1 Q C P, which exceeds it by
    // sigma/lambda_2 alone. In bfloat16 sigma is a tenth of lambda_2: a quarter in 1 - cos. 1e-12:
    // in float32 the angle is some 1e-7, and both cosines are 1 but for the rounding of their sums.
    EXPECT_NEAR(1 - *cheap.abs_cos, 1 - *full.abs_cos, 0.25 * (1 - *full.abs_cos) + 1e-12)
        << c10::toString(type);
    EXPECT_LE(*cheap.abs_cos, *full.abs_cos + 1e-12) << c10::toString(type);
    EXPECT_EQ(judge(Method::certificate, kLayerNorm, predicted, cheap).verdict,
              judge(Method::eigh, kLayerNorm, predicted, full).verdict);
  }
}

class SpectralMethodsTest : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(SpectralMethodsTest, AgreeOverHardSpectraForTrueAndWrongPredictions) {
  const auto d = GetParam();
  const at::Tensor q = orthogonal(d, 36);
  for (const auto& s : hard_spectra(d)) {
    const at::Tensor c = with_spectrum(q, s.values);
    for (const std::int64_t column : {std::int64_t{0}, d - 1}) {
      const DeadSubspace predicted = predicting(q.select(1, column));
      const Measured measured{.tokens = 10 * d,
                              .hidden_size = d,
                              .covariance = c,
                              .basis_variance = s.values[column].unsqueeze(0)};
      const Reading full = read(Method::eigh, predicted, measured),
                    cheap = read(Method::certificate, predicted, measured);
      const Judgement a = judge(Method::eigh, kLayerNorm, predicted, full),
                      b = judge(Method::certificate, kLayerNorm, predicted, cheap);
      EXPECT_EQ(a.verdict, b.verdict) << s.name << " column " << column << "\n  eigh: " << a.reason
                                      << "\n  certificate: " << b.reason;
      if (column == 0 && d > 1) {
        // 1e-4 is what the certificate promises; rounding as in tolerance() of spectra.h.
        const double rounding = 4 * static_cast<double>(d) * kEps * full.eigenvalues.last;
        EXPECT_NEAR(cheap.eigenvalues.next, full.eigenvalues.next,
                    1e-4 * full.eigenvalues.next + rounding)
            << s.name;
      }
      if (d == 1) continue;
      // The certificate's cosine is a lower bound, but for two roundings of eigh's: that of its
      // eigenvector, an angle of some d u lambda_d/gap, which enters a cosine squared, and that of
      // the product of d terms which is its cosine.
      const double angle = 4 * static_cast<double>(d) * kEps * full.eigenvalues.last /
                           (full.eigenvalues.next - full.eigenvalues.first);
      for (const double cosine : cheap.principal_cosines)
        EXPECT_LE(cosine, full.principal_cosines[0] + angle * angle + static_cast<double>(d) * kEps)
            << s.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, SpectralMethodsTest, ::testing::Values(1, 2, 7, 64, 257));

// ---- the figures of a reading

TEST(ReadTest, GivesTheFiguresOfAKnownSpectrum) {
  const std::int64_t d = 40;
  const at::Tensor q = orthogonal(d, 37), values = at::ones({d}, fp64());
  values[0].fill_(0);
  values[1].fill_(1e-9);
  values[2].fill_(1e-5);
  values[d - 1].fill_(2.0);
  const DeadSubspace predicted = predicting(q.select(1, 0));
  const Measured measured{.tokens = 1000,
                          .hidden_size = d,
                          .covariance = with_spectrum(q, values),
                          .basis_variance = tensor_of({1e-31})};
  const Reading r = read(Method::eigh, predicted, measured);
  // tolerance() of spectra.h: the matrix was formed and decomposed, lambda_d = 2.
  const double rounding = 4 * d * kEps * 2, mean = values.mean().item<double>();
  // The eigenvector turns by rounding/lambda_2, 7e-5 at most here; the cosine loses half its
  // square.
  const double turned = rounding / 1e-9;
  EXPECT_NEAR(*r.abs_cos, 1.0, turned * turned);
  EXPECT_EQ(r.dimension, 1);
  EXPECT_EQ(r.lambda_v, 1e-31);
  EXPECT_NEAR(r.floor, d * 0x1p-53 * 2, d * 0x1p-53 * rounding) << "d u lambda_d";
  EXPECT_NEAR(r.eigenvalues.second, 1e-9, rounding);
  EXPECT_EQ(r.eigenvalues.next, r.eigenvalues.second);
  EXPECT_NEAR(r.eigenvalues.mean, mean, rounding);
  EXPECT_NEAR(r.eigenvalues.last, 2, rounding);
  EXPECT_NEAR(r.gap, 1e-9 / r.floor, rounding / r.floor) << "lambda_2 over the floor";
  EXPECT_LE(r.residual, rounding) << "|C v|/|C|, C v = 0 but for rounding";
  EXPECT_EQ(r.below, (std::vector<std::int64_t>{3, 2, 2, 1}));
  EXPECT_LT(*r.chance_p, 1e-60) << "no random direction of 40 dimensions comes as near";
  EXPECT_FALSE(r.random_variance);
  ASSERT_EQ(r.spectrum.size(), spectrum_indices(d).size());
  EXPECT_EQ(r.spectrum.front(), r.eigenvalues.first);
  EXPECT_EQ(r.spectrum[1], r.eigenvalues.second);
  EXPECT_EQ(r.spectrum.back(), r.eigenvalues.last);
}

TEST(SpectrumIndicesTest, KeepsTheLowestAndTheLastOfAnySpectrum) {
  for (const std::int64_t d : {1, 2, 31, 32, 33, 40, 64, 768, 5376}) {
    const auto indices = spectrum_indices(d);
    const auto lowest = static_cast<std::size_t>(std::min<std::int64_t>(d, 32));
    ASSERT_GE(indices.size(), lowest) << d;
    ASSERT_LE(indices.size(), 56U) << d;
    for (std::size_t i = 0; i < lowest; ++i)
      EXPECT_EQ(indices[i], static_cast<std::int64_t>(i)) << d;
    for (std::size_t i = 1; i < indices.size(); ++i) EXPECT_LT(indices[i - 1], indices[i]) << d;
    EXPECT_EQ(indices.back(), d - 1);
  }
}

TEST(ReadTest, RaisesTheFloorOfADeployedReading) {
  const std::int64_t d = 16;
  const at::Tensor c = at::eye(d, fp64());
  for (const double u : {0x1p-24, 0x1p-9}) {
    const Measured measured{.tokens = 1000,
                            .hidden_size = d,
                            .covariance = c,
                            .basis_variance = at::ones({1}, fp64()),
                            .roundoff = u};
    EXPECT_DOUBLE_EQ(read(Method::eigh, predicting(at::ones({d}, fp64())), measured).floor,
                     d * u * u);
  }
}

TEST(ReadTest, MeasuresTheAngleToVStarBesideACoordinateSubspace) {
  LayerNormCase c;
  for (const std::int64_t i : {3, 10, 40}) c.gamma[i].fill_(1e-12);
  c.gamma[10].fill_(1e-14);  // v* is e_10 but for 1 %
  const DeadSubspace predicted =
      predicting_coordinates({3, 10, 40}, predicting(1 / c.gamma).direction());
  const Reading r = read(Method::eigh, predicted, measure(c.h(), predicted, c.beta));
  ASSERT_EQ(r.principal_cosines.size(), 3u);
  for (const double cosine : r.principal_cosines) EXPECT_GT(cosine, kSameDirection);
  EXPECT_TRUE(r.abs_cos.has_value());
  EXPECT_EQ(r.dimension, 3);
}

TEST(ReadTest, UsesVStarAsTheChanceControlOfAnRmsNorm) {
  const std::int64_t d = 64;
  const at::Tensor q = orthogonal(d, 38), c = with_spectrum(q, at::linspace(0.1, 1, d, fp64()));
  DeadSubspace control = predicting(gaussian(1, d, 39).squeeze(0));
  control.dimension = 0;
  const Measured measured{
      .tokens = 1000, .hidden_size = d, .covariance = c, .basis_variance = tensor_of({0.5})};
  const Reading r = read(Method::eigh, control, measured);
  EXPECT_TRUE(r.principal_cosines.empty());
  // The eigenvector turns by d u lambda_d/gap, 1e-12 with a gap of 0.9/63; 1e-10 leaves room.
  const double cosine = std::abs(q.select(1, 0).dot(tensor_of(control.direction())).item<double>());
  EXPECT_NEAR(*r.abs_cos, cosine, 1e-10);
  EXPECT_DOUBLE_EQ(*r.chance_p, chance_p_value(*r.abs_cos, d));
  EXPECT_EQ(r.lambda_v, 0.5);
  EXPECT_EQ(r.dimension, 0);
  // lambda_1 = 0.1 and lambda_d = 1, each but for d u: 1e-6 is far above that.
  EXPECT_NEAR(r.gap, 0.1 / r.floor, 1e-6 * r.gap);
}

TEST(ReadTest, LeavesEmptyWhatTheDirectionalMethodDoesNotSee) {
  const LayerNormCase c;
  const DeadSubspace predicted = predicting(1 / c.gamma);
  Measured measured = measure(c.h(), predicted, c.beta);
  measured.covariance = at::Tensor{};
  const Reading r = read(Method::directional, predicted, measured);
  EXPECT_FALSE(r.abs_cos);
  EXPECT_TRUE(r.principal_cosines.empty());
  EXPECT_TRUE(r.below.empty());
  // Rows are projected first: what is left of a dead direction's variance is (d u)^2 of the
  // others', which are some 1 here.
  EXPECT_LT(r.lambda_v, 1e-28);
  EXPECT_GT(*r.random_variance, 1e-2);
}

TEST(ReadTest, ProjectsTheCovarianceWhereNoVarianceIsHandedOver) {
  const std::int64_t d = 8;
  const Measured measured{.tokens = 100, .hidden_size = d, .covariance = at::eye(d, fp64()) * 3};
  EXPECT_DOUBLE_EQ(read(Method::eigh, predicting(at::ones({d}, fp64())), measured).lambda_v, 3.0);
}

}  // namespace
}  // namespace deadray
