#include "verify/probe/probe.h"

#include <gtest/gtest.h>

#include "host/base/error.h"
#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

/// A LayerNorm of 48 dimensions and 600 rows of its input and output, in FP32.
class SiteProbeTest : public ::testing::Test {
 protected:
  static NormSite site() {
    NormSite site;
    site.name = "norm";
    site.hidden_size = 48;
    site.eps = 1e-5;
    return site;
  }
  NormParameters norm() const {
    NormParameters norm;
    norm.gamma = vector_of(case_.gamma);
    norm.beta = vector_of(case_.beta);
    return norm;
  }
  at::Tensor input() const { return case_.x.to(at::kFloat); }
  at::Tensor output() const { return case_.h().to(at::kFloat); }

  LayerNormCase case_;
};

TEST_F(SiteProbeTest, ReadsTheOutputTwiceAndTheInputForTheSchurRatio) {
  SiteProbe probe(site(), norm(), {});
  for (const std::int64_t first : {0, 200, 400})
    probe.add(input().narrow(0, first, 200), output().narrow(0, first, 200));
  const SiteResult result = probe.finish();
  ASSERT_TRUE(result.exact && result.deployed);
  EXPECT_EQ(result.exact->tokens, 600);
  EXPECT_EQ(&result.decisive(), &*result.exact);
  EXPECT_EQ(result.judgement.verdict, Verdict::confirmed) << result.judgement.reason;
  // FP32 leaves a variance of some u^2 of the others', u = 2^-24, FP64 one of 2^-106.
  EXPECT_GT(result.deployed->lambda_v, 1e6 * result.exact->lambda_v);
  ASSERT_TRUE(result.schur_input);
  // Independent inputs: R^2 ~ Beta((d-1)/2, (N-d)/2), deviation 0.013 about its mean (d-1)/(N-1).
  EXPECT_NEAR(*result.schur_input, result.schur_null, 4 * 0.013);
  EXPECT_FALSE(result.schur_output) << "a dead direction has no variance to explain";
}

TEST_F(SiteProbeTest, LeavesOutTheReadingOfWhatIsNotGiven) {
  SiteProbe inputs(site(), norm(), {});
  inputs.add(input(), {});
  const SiteResult exact = inputs.finish();
  EXPECT_TRUE(exact.exact && !exact.deployed);
  SiteProbe outputs(site(), norm(), {});
  outputs.add({}, output());
  const SiteResult deployed = outputs.finish();
  EXPECT_TRUE(!deployed.exact && deployed.deployed && !deployed.schur_input);
  EXPECT_EQ(&deployed.decisive(), &*deployed.deployed);
}

TEST_F(SiteProbeTest, FormsNoCovarianceForTheDirectionalMethod) {
  ProbeOptions options;
  options.method = Method::directional;
  SiteProbe probe(site(), norm(), options);
  probe.add(input(), output());
  const SiteResult result = probe.finish();
  EXPECT_EQ(result.judgement.verdict, Verdict::confirmed) << result.judgement.reason;
  EXPECT_FALSE(result.schur_input);
  EXPECT_TRUE(result.exact->random_variance);
  EXPECT_TRUE(result.exact->spectrum.empty());
}

// ---- null directions that the input brings along

/// A norm over rows that pass it, with the pass in FP64.
SiteResult probed(NormKind kind, const at::Tensor& x, const at::Tensor& gamma, Method method) {
  NormSite site;
  site.name = "norm";
  site.kind = kind;
  site.hidden_size = x.size(1);
  site.eps = 1e-5;
  NormParameters norm;
  norm.gamma = vector_of(gamma);
  ProbeOptions options;
  options.method = method;
  options.dtype = DType::f64;
  SiteProbe probe(site, norm, options);
  const at::Tensor z = kind == kLayerNorm ? normalised(x, site.eps)
                                          : x / (x.square().mean(1, true) + site.eps).sqrt();
  probe.add(x, z * gamma);
  return probe.finish();
}

class InheritedTest : public ::testing::TestWithParam<Method> {
 protected:
  static constexpr std::int64_t d = 48, n = 600, rank = 30;
  at::Tensor gamma = gaussian(1, d, 91).squeeze(0);
  at::Tensor thin = gaussian(n, rank, 92).mm(gaussian(rank, d, 93));
};

TEST_P(InheritedTest, AreCountedAndConfirmedBesideTheirLayerNormsOwn) {
  const SiteResult result = probed(kLayerNorm, thin, gamma, GetParam());
  EXPECT_EQ(result.judgement.verdict, Verdict::confirmed) << result.judgement.reason;
  EXPECT_EQ(result.inherited, d - rank - 1);
  for (const auto& reading : {result.exact, result.deployed}) {
    ASSERT_EQ(reading->principal_cosines.size(), static_cast<std::size_t>(d - rank));
    for (const double cosine : reading->principal_cosines) EXPECT_GE(cosine, kSameDirection);
  }
  EXPECT_NE(result.judgement.reason.find("17 of the 18"), std::string::npos)
      << result.judgement.reason;
}

TEST_P(InheritedTest, LeaveAnRmsNormAbsentAsPredicted) {
  const SiteResult result = probed(kRmsNorm, thin, gamma, GetParam());
  EXPECT_EQ(result.judgement.verdict, Verdict::absent) << result.judgement.reason;
  EXPECT_EQ(result.inherited, d - rank);
}

TEST_P(InheritedTest, StandBesideDeadCoordinates) {
  for (const std::int64_t i : {3, 10, 40}) gamma[i].zero_();
  for (const NormKind kind : {kLayerNorm, kRmsNorm}) {
    const SiteResult result = probed(kind, thin, gamma, GetParam());
    EXPECT_EQ(result.judgement.verdict, Verdict::confirmed) << result.judgement.reason;
    EXPECT_EQ(result.predicted.dimension, 3);
    EXPECT_EQ(result.inherited, d - 3 - rank);
  }
}

TEST_P(InheritedTest, AreFoundUnderAHugeScale) {
  gamma[5].fill_(1e6);
  gamma.copy_(at::where(gamma.abs() < 0.1, at::full_like(gamma, 0.1), gamma));
  for (const NormKind kind : {kLayerNorm, kRmsNorm}) {
    const SiteResult result = probed(kind, thin, gamma, GetParam());
    EXPECT_TRUE(agrees(result.judgement)) << result.judgement.reason;
    EXPECT_EQ(result.inherited + result.predicted.dimension, d - rank);
  }
}

TEST_P(InheritedTest, AreNotAskedForWhereTheRowsAreOfFullRank) {
  const SiteResult result = probed(kLayerNorm, gaussian(n, d, 94), gamma, GetParam());
  EXPECT_EQ(result.judgement.verdict, Verdict::confirmed);
  EXPECT_EQ(result.inherited, 0);
  EXPECT_FALSE(result.exact->scaled);
}

TEST_P(InheritedTest, DoNotDecideWithTooFewTokens) {
  const SiteResult result = probed(kLayerNorm, thin.narrow(0, 0, d), gamma, GetParam());
  EXPECT_EQ(result.judgement.verdict, Verdict::undetermined);
  EXPECT_EQ(result.inherited, 0);
}

// Rows of one length, all with the same first entry: h_0 never changes, which neither gamma nor a
// lack of directions in the input explains.
TEST_P(InheritedTest, DoNotCoverForANullDirectionThatNothingExplains) {
  at::Tensor x = thin.clone();
  x.select(1, 0).zero_();
  x = x - x.mean(1, true);
  x.select(1, 0).zero_();
  x.narrow(1, 1, d - 1).sub_(x.narrow(1, 1, d - 1).mean(1, true));
  x = x / x.norm(2, {1}, true);
  x.select(1, 0).fill_(1.0);
  for (const NormKind kind : {kLayerNorm, kRmsNorm}) {
    const SiteResult result = probed(kind, x, gamma, GetParam());
    EXPECT_EQ(result.judgement.verdict, Verdict::undetermined) << result.judgement.reason;
    EXPECT_GT(result.inherited, 0);
    EXPECT_EQ(result.exact->dimension, GetParam() == Method::eigh
                                           ? result.predicted.dimension + result.inherited + 1
                                           : result.exact->dimension);
    EXPECT_NE(result.judgement.reason.find("which does not explain all"), std::string::npos)
        << result.judgement.reason;
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, InheritedTest, ::testing::ValuesIn(kSpectral),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_F(SiteProbeTest, IsADefectToFinishWithoutRows) {
  EXPECT_THROW(SiteProbe(site(), norm(), {}).finish(), InternalError);
}

}  // namespace
}  // namespace deadray
