#include "verify/probe/verdict.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

TEST(VerdictTest, EveryNameLeadsBackToItsVerdict) {
  for (const Verdict verdict :
       {Verdict::confirmed, Verdict::absent, Verdict::refuted, Verdict::undetermined})
    EXPECT_EQ(verdict_from_name(to_string(verdict)), verdict);
  EXPECT_FALSE(verdict_from_name("likely"));
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

// Three scales as a pretrained BERT has them: h_i there is the rounding of beta_i alone, far above
// d u^2 of a spectrum.
TEST(JudgeTest, ConfirmsTinyScalesBesideRoundedShifts) {
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

// ---- covariances graded by a few huge variances

/// One scale 10^8 times the others: its variance lifts the rounding floor above theirs.
LayerNormCase graded_case() {
  LayerNormCase c;
  c.gamma = c.gamma.sign() * (c.gamma.abs() + 0.5);
  c.gamma[5].fill_(1e8);
  return c;
}

at::Tensor rms_rows(const LayerNormCase& c) {
  return c.x / c.x.square().mean(1, true).sqrt() * c.gamma;
}

TEST(JudgeGradedTest, ConfirmsALayerNormWhoseGapTheFloorDrowned) {
  const LayerNormCase c = graded_case();
  for (const Method method : kSpectral) {
    const Judgement j =
        judged_closely(method, kLayerNorm, normalised(c.x) * c.gamma, predicting(1 / c.gamma));
    EXPECT_EQ(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
    EXPECT_NE(j.reason.find("unit variances"), std::string::npos) << j.reason;
  }
}

TEST(JudgeGradedTest, ConfirmsDeadCoordinatesOfAnRmsNorm) {
  LayerNormCase c = graded_case();
  for (const std::int64_t i : {3, 10, 40}) c.gamma[i].zero_();
  for (const Method method : kSpectral) {
    const Judgement j =
        judged_closely(method, kRmsNorm, rms_rows(c), predicting_coordinates({3, 10, 40}));
    EXPECT_EQ(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeGradedTest, FindsNothingInAnRmsNorm) {
  const LayerNormCase c = graded_case();
  DeadSubspace control = predicting(1 / c.gamma);
  control.dimension = 0;
  for (const Method method : kSpectral) {
    const Judgement j = judged_closely(method, kRmsNorm, rms_rows(c), control);
    EXPECT_EQ(j.verdict, Verdict::absent) << to_string(method) << ": " << j.reason;
  }
}

TEST(JudgeGradedTest, DoesNotConfirmAWrongDirectionOfLittleVariance) {
  const LayerNormCase c = graded_case();
  for (const Method method : kSpectral)
    for (const at::Tensor& wrong :
         {gaussian(1, c.d, 34).squeeze(0), at::ones({c.d}, fp64()), c.gamma}) {
      at::Tensor direction = wrong.clone();
      direction[5].zero_();  // dead, to the floor of the plain spectrum
      const Judgement j =
          judged_closely(method, kLayerNorm, normalised(c.x) * c.gamma, predicting(direction));
      EXPECT_NE(j.verdict, Verdict::confirmed) << to_string(method) << ": " << j.reason;
    }
}

TEST(JudgeGradedTest, DoesNotConfirmWithASecondNullDirection) {
  LayerNormCase c = graded_case();
  c.x.narrow(1, 0, 2).fill_(1.0);  // z_0 = z_1
  for (const Method method : kSpectral) {
    EXPECT_EQ(judged_closely(method, kLayerNorm, normalised(c.x) * c.gamma, predicting(1 / c.gamma))
                  .verdict,
              Verdict::undetermined);
    LayerNormCase dead = graded_case();
    dead.gamma[3].zero_();
    dead.x.select(1, 10).zero_();  // no variance either, and not predicted
    EXPECT_EQ(judged_closely(method, kRmsNorm, rms_rows(dead), predicting_coordinates({3})).verdict,
              Verdict::undetermined);
  }
}

}  // namespace
}  // namespace deadray
