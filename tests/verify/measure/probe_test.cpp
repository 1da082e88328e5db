#include "verify/measure/probe.h"

#include <gtest/gtest.h>

#include "host/base/error.h"
#include "tests/verify/measure/norm_rows.h"

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

TEST_F(SiteProbeTest, IsADefectToFinishWithoutRows) {
  EXPECT_THROW(SiteProbe(site(), norm(), {}).finish(), InternalError);
}

}  // namespace
}  // namespace deadray
