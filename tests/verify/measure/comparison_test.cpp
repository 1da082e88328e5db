#include "verify/measure/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "host/base/statistics.h"
#include "tests/verify/spectrum/spectra.h"
#include "verify/device/moments.h"
#include "verify/measure/verdict.h"

namespace deadray {
namespace {

using namespace testing;

constexpr auto kLayerNorm = NormKind::layernorm;
constexpr auto kRmsNorm = NormKind::rmsnorm;
constexpr Method kSpectral[] = {Method::eigh, Method::certificate};

/// What the executor would hand over for the rows h of a norm's output.
Measured measure(const at::Tensor& h, const DeadSubspace& predicted, const at::Tensor& shift = {}) {
  const auto d = h.size(1);
  CentredMoments moments(d, shift);
  moments.add(h);
  Measured measured{.tokens = h.size(0), .hidden_size = d, .covariance = moments.covariance()};
  const at::Tensor basis = basis_of(predicted, d);
  const auto project = [&](const at::Tensor& directions) {
    DirectionalMoments projected(directions, shift);
    projected.add(h);
    return projected.variance();
  };
  if (predicted.dimension > 0) {
    measured.basis_variance = project(basis.t());
  } else if (!predicted.inverse.empty()) {
    measured.basis_variance = project(tensor_of(predicted.direction()).unsqueeze(0));
  }
  const at::Tensor random = gaussian(16, d, 99);
  measured.random_variances = project(random / random.norm(2, {1}, true));
  return measured;
}

Judgement judged(Method method, NormKind kind, const at::Tensor& h, const DeadSubspace& predicted,
                 const at::Tensor& shift = {}) {
  return judge(method, kind, predicted, read(method, predicted, measure(h, predicted, shift)));
}

/// A LayerNorm with gamma of mixed signs and its activations.
struct LayerNormCase {
  std::int64_t d = 48, n = 600;
  at::Tensor gamma = gaussian(1, d, 31).squeeze(0), beta = gaussian(1, d, 32).squeeze(0),
             x = gaussian(n, d, 33) * 3 + 1;
  at::Tensor h() const { return normalised(x) * gamma + beta; }
};

// ---- basis

TEST(BasisOfTest, IsTheDirectionOrTheCoordinatesOrNothing) {
  EXPECT_TRUE(
      at::allclose(basis_of(predicting(tensor_of({3, 4})), 2), tensor_of({0.6, 0.8}).unsqueeze(1)));
  const at::Tensor basis = basis_of(predicting_coordinates({1, 4}), 5);
  EXPECT_EQ(basis.sizes(), (std::vector<std::int64_t>{5, 2}));
  EXPECT_TRUE(at::equal(basis.t().mm(basis), at::eye(2, fp64())));
  EXPECT_EQ(basis[4][1].item<double>(), 1.0);
  EXPECT_EQ(basis_of(DeadSubspace{}, 5).sizes(), (std::vector<std::int64_t>{5, 0}));
}

// ---- activations made by hand

TEST(JudgeTest, ConfirmsALayerNormByEveryMethod) {
  const LayerNormCase c;
  for (const Method method : {Method::eigh, Method::certificate, Method::directional}) {
    const Judgement j = judged(method, kLayerNorm, c.h(), predicting(1 / c.gamma), c.beta);
    EXPECT_EQ(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeTest, ConfirmsALayerNormWithoutBetaOrWithoutAKnownShift) {
  const LayerNormCase c;
  for (const Method method : kSpectral) {
    EXPECT_EQ(
        judged(method, kLayerNorm, normalised(c.x) * c.gamma, predicting(1 / c.gamma)).verdict,
        Verdict::confirmed);
    EXPECT_EQ(judged(method, kLayerNorm, c.h(), predicting(1 / c.gamma)).verdict,
              Verdict::confirmed);
  }
}

TEST(JudgeTest, ConfirmsWhateverTheScaleAndEps) {
  const LayerNormCase c;
  for (const double scale : {1e-30, 1e30})
    for (const Method method : kSpectral) {
      const Judgement j = judged(method, kLayerNorm, normalised(c.x, 10.0) * c.gamma * scale,
                                 predicting(1 / c.gamma));
      EXPECT_EQ(j.verdict, Verdict::confirmed)
          << scale << " " << to_string(method) << ": " << j.reason;
    }
}

TEST(JudgeTest, ConfirmsUnderAHugeOutlierChannel) {
  LayerNormCase c;
  c.x.select(1, 5).mul_(1e4);
  for (const Method method : kSpectral) {
    const Judgement j = judged(method, kLayerNorm, c.h(), predicting(1 / c.gamma), c.beta);
    EXPECT_EQ(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeTest, ConfirmsDeadCoordinatesOfALayerNormAndOfAnRmsNorm) {
  for (const double tiny : {0.0, 1e-12}) {
    LayerNormCase c;
    for (const std::int64_t i : {3, 10, 40}) c.gamma[i].fill_(tiny);
    const std::vector<double> direction =
        tiny > 0 ? predicting(1 / c.gamma).direction() : std::vector<double>{};
    const DeadSubspace predicted = predicting_coordinates({3, 10, 40}, direction);
    const at::Tensor rms = c.x / c.x.square().mean(1, true).sqrt() * c.gamma;
    for (const Method method : {Method::eigh, Method::certificate, Method::directional}) {
      const Judgement layer = judged(method, kLayerNorm, c.h(), predicted, c.beta),
                      root = judged(method, kRmsNorm, rms, predicted);
      EXPECT_EQ(layer.verdict, Verdict::confirmed) << to_string(method) << ": " << layer.reason;
      EXPECT_EQ(root.verdict, Verdict::confirmed) << to_string(method) << ": " << root.reason;
    }
  }
}

TEST(JudgeTest, FindsNothingInAnRmsNorm) {
  const LayerNormCase c;
  const at::Tensor h = c.x / c.x.square().mean(1, true).sqrt() * c.gamma;
  DeadSubspace control = predicting(1 / c.gamma);
  control.dimension = 0;
  for (const Method method : kSpectral) {
    const Judgement j = judged(method, kRmsNorm, h, control);
    EXPECT_EQ(j.verdict, Verdict::absent) << to_string(method) << ": " << j.reason;
  }
  EXPECT_EQ(judged(Method::directional, kRmsNorm, h, control).verdict, Verdict::undetermined);
}

// ---- negative controls

TEST(JudgeTest, RefutesAWrongDirection) {
  const LayerNormCase c;
  for (const Method method : {Method::eigh, Method::certificate, Method::directional})
    for (const at::Tensor& wrong :
         {c.gamma, gaussian(1, c.d, 34).squeeze(0), at::ones({c.d}, fp64())}) {
      const Judgement j = judged(method, kLayerNorm, c.h(), predicting(wrong), c.beta);
      EXPECT_EQ(j.verdict, Verdict::refuted) << to_string(method) << ": " << j.reason;
    }
}

TEST(JudgeTest, RefutesALayerNormPredictionOnRmsNormActivations) {
  const LayerNormCase c;
  const at::Tensor h = c.x / c.x.square().mean(1, true).sqrt() * c.gamma;
  for (const Method method : {Method::eigh, Method::certificate, Method::directional}) {
    const Judgement j = judged(method, kLayerNorm, h, predicting(1 / c.gamma));
    EXPECT_EQ(j.verdict, Verdict::refuted) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeTest, RefutesAnRmsNormWithANullDirection) {
  const LayerNormCase c;
  DeadSubspace control = predicting(1 / c.gamma);
  control.dimension = 0;
  for (const Method method : {Method::eigh, Method::certificate, Method::directional}) {
    const Judgement j = judged(method, kRmsNorm, c.h(), control, c.beta);
    EXPECT_EQ(j.verdict, Verdict::refuted) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeTest, RefutesAWrongCoordinate) {
  LayerNormCase c;
  c.gamma[3].zero_();
  for (const Method method : kSpectral) {
    const Judgement j = judged(method, kLayerNorm, c.h(), predicting_coordinates({4}), c.beta);
    EXPECT_EQ(j.verdict, Verdict::refuted) << to_string(method) << ": " << j.reason;
  }
}

// ---- what cannot be decided

TEST(JudgeTest, DoesNotDecideWithTooFewTokens) {
  const LayerNormCase c;
  for (const Method method : {Method::eigh, Method::certificate, Method::directional})
    for (const std::int64_t n : {std::int64_t{1}, c.d - 1, c.d}) {
      const Judgement j =
          judged(method, kLayerNorm, c.h().narrow(0, 0, n), predicting(1 / c.gamma), c.beta);
      EXPECT_EQ(j.verdict, Verdict::undetermined);
      EXPECT_NE(j.reason.find(fmt::format("{} tokens for hidden_size 48", n)), std::string::npos)
          << j.reason;
    }
}

TEST(JudgeTest, DecidesWithFewMoreTokensThanDimensions) {
  const LayerNormCase c;
  for (const Method method : kSpectral) {
    const Judgement j =
        judged(method, kLayerNorm, c.h().narrow(0, 0, c.d + 3), predicting(1 / c.gamma), c.beta);
    EXPECT_EQ(j.verdict, Verdict::confirmed) << j.reason;
  }
}

TEST(JudgeTest, DoesNotDecideOnZeroCovariance) {
  const LayerNormCase c;
  const at::Tensor h = c.h().narrow(0, 0, 1).expand({c.n, c.d});
  for (const Method method : {Method::eigh, Method::certificate, Method::directional})
    for (const auto kind : {kLayerNorm, kRmsNorm}) {
      DeadSubspace predicted = predicting(1 / c.gamma);
      if (kind == kRmsNorm) predicted.dimension = 0;
      const Judgement j = judged(method, kind, h, predicted, c.beta);
      EXPECT_EQ(j.verdict, Verdict::undetermined);
      EXPECT_NE(j.reason.find("covariance is zero"), std::string::npos) << j.reason;
    }
}

TEST(JudgeTest, DoesNotDecideOnWhatIsNotFinite) {
  const LayerNormCase c;
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    for (const Method method : {Method::eigh, Method::certificate, Method::directional}) {
      const at::Tensor h = c.h();
      h[7][9].fill_(bad);
      const Judgement j = judged(method, kLayerNorm, h, predicting(1 / c.gamma), c.beta);
      EXPECT_EQ(j.verdict, Verdict::undetermined);
      EXPECT_NE(j.reason.find("not finite"), std::string::npos) << j.reason;
    }
}

TEST(JudgeTest, DoesNotDecideWhereMoreIsNullThanPredicted) {
  LayerNormCase c;
  c.x.narrow(1, 0, 2).fill_(1.0);  // two equal inputs: z_0 = z_1, one more null direction beside v*
  for (const Method method : kSpectral) {
    const Judgement j = judged(method, kLayerNorm, c.h(), predicting(1 / c.gamma), c.beta);
    EXPECT_EQ(j.verdict, Verdict::undetermined) << to_string(method) << ": " << j.reason;
    EXPECT_NE(j.reason.find("2 null directions measured but 1 predicted"), std::string::npos)
        << j.reason;
  }
}

TEST(JudgeTest, RefutesWhereMoreIsNullAndThePredictionIsNotAmongThem) {
  LayerNormCase c;
  c.x.narrow(1, 0, 2).fill_(1.0);
  for (const Method method : kSpectral)
    EXPECT_EQ(judged(method, kLayerNorm, c.h(), predicting(c.gamma), c.beta).verdict,
              Verdict::refuted);
}

TEST(JudgeTest, DoesNotDecideWithoutAGap) {
  const std::int64_t d = 32;
  const at::Tensor q = orthogonal(d, 35), values = at::linspace(0.1, 1, d, fp64());
  values[0].fill_(0);
  values[1].fill_(100 * d * kEps);
  const DeadSubspace predicted = predicting(q.select(1, 0));
  const Measured measured{.tokens = 1000,
                          .hidden_size = d,
                          .covariance = with_spectrum(q, values),
                          .basis_variance = at::zeros({1}, fp64())};
  for (const Method method : kSpectral) {
    const Judgement j = judge(method, kLayerNorm, predicted, read(method, predicted, measured));
    EXPECT_EQ(j.verdict, Verdict::undetermined) << to_string(method) << ": " << j.reason;
    EXPECT_NE(j.reason.find("no gap"), std::string::npos) << j.reason;
  }
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
    // sin of the angle is bounded by (D - sigma)^-1 Q C P, too large by sigma/lambda_2 alone; sigma
    // is 1e3 times a variance of u^2, which bfloat16 takes to a tenth of lambda_2: a quarter in 1 -
    // cos.
    EXPECT_NEAR(1 - *cheap.abs_cos, 1 - *full.abs_cos, 0.25 * (1 - *full.abs_cos) + 1e-12)
        << c10::toString(type);
    EXPECT_LE(*cheap.abs_cos, *full.abs_cos + 1e-12) << c10::toString(type);
    EXPECT_EQ(judge(Method::certificate, kLayerNorm, predicted, cheap).verdict,
              judge(Method::eigh, kLayerNorm, predicted, full).verdict);
  }
}

// Three scales as a pretrained BERT has them: h_i there is the rounding of beta_i alone, far above
// d u^2 of a spectrum.
TEST(SpectralMethodsRoundedTest, ConfirmTinyScalesBesideRoundedShifts) {
  LayerNormCase c;
  for (const std::int64_t i : {3, 10, 40}) c.gamma[i].fill_(4.8e-33);
  const at::Tensor residue = gaussian(c.n, c.d, 35) * 3e-9;
  const at::Tensor h =
      at::where((c.gamma.abs() < 1e-30).unsqueeze(0).expand({c.n, c.d}), c.beta + residue, c.h());
  const DeadSubspace predicted =
      predicting_coordinates({3, 10, 40}, predicting(1 / c.gamma).direction());
  for (const Method method : kSpectral) {
    Measured measured = measure(h, predicted, c.beta);
    measured.roundoff = 0x1p-24;
    const Judgement j = judge(method, kLayerNorm, predicted, read(method, predicted, measured));
    EXPECT_EQ(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
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
        const double rounding = 4 * static_cast<double>(d) * kEps * full.eigenvalues.last;
        EXPECT_NEAR(cheap.eigenvalues.next, full.eigenvalues.next,
                    1e-4 * full.eigenvalues.next + rounding)
            << s.name;
      }
      if (d == 1) continue;
      // a lower bound, but for the rounding of eigh's own eigenvector, an angle of some d u
      // lambda_d/gap, squared in the cosine, and of the product of d terms that gives eigh's cosine
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
  const double rounding = 4 * d * kEps * 2, mean = values.mean().item<double>();
  EXPECT_NEAR(*r.abs_cos, 1.0, 1e-12);
  EXPECT_EQ(r.dimension, 1);
  EXPECT_EQ(r.lambda_v, 1e-31);
  EXPECT_NEAR(r.floor, d * 0x1p-53 * 2, 1e-20);
  EXPECT_NEAR(r.eigenvalues.second, 1e-9, rounding);
  EXPECT_EQ(r.eigenvalues.next, r.eigenvalues.second);
  EXPECT_NEAR(r.eigenvalues.mean, mean, rounding);
  EXPECT_NEAR(r.eigenvalues.last, 2, rounding);
  EXPECT_NEAR(r.gap, 1e-9 / r.floor, 1e-3 * r.gap);
  EXPECT_LE(r.residual, rounding);
  EXPECT_EQ(r.below, (std::vector<std::int64_t>{3, 2, 2, 1}));
  EXPECT_EQ(*r.chance_p, chance_p_value(*r.abs_cos, d));
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
  for (const double cosine : r.principal_cosines) EXPECT_GT(cosine, 0.9999);
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
  EXPECT_NEAR(*r.abs_cos,
              std::abs(q.select(1, 0).dot(tensor_of(control.direction())).item<double>()), 1e-10);
  EXPECT_GT(*r.chance_p, 1e-4);
  EXPECT_EQ(r.lambda_v, 0.5);
  EXPECT_EQ(r.dimension, 0);
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
