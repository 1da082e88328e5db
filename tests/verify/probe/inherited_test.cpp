#include "verify/probe/inherited.h"

#include <gtest/gtest.h>

#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

constexpr std::int64_t kHidden = 48, kTokens = 600, kRank = 30;

at::Tensor centred(NormKind kind, const at::Tensor& x) {
  return kind == kLayerNorm ? x - x.mean(1, true) : x;
}

struct Explained {
  at::Tensor directions;
  std::int64_t inherited = 0;
};

Explained explained(NormKind kind, const at::Tensor& gamma, const at::Tensor& x,
                    double roundoff = 0x1p-53) {
  const DeadSubspace predicted = predict(kind, vector_of(gamma), {});
  const at::Tensor moment = x.t().mm(x) / static_cast<double>(x.size(0));
  const at::Tensor found =
      explained_directions(kind, vector_of(gamma), predicted, moment, roundoff);
  return {found, found.size(1) - predicted.dimension};
}

/// d - rank(P X D_gamma) - predicted dimension, from the rows themselves.
std::int64_t counted(NormKind kind, const at::Tensor& gamma, const at::Tensor& x,
                     double relative = 1e-10) {
  const at::Tensor sigma = at::linalg_svdvals(centred(kind, x) * gamma);
  const auto seen = (sigma > relative * sigma[0]).sum().item<std::int64_t>();
  return kHidden - seen - predict(kind, vector_of(gamma), {}).dimension;
}

class ExplainedDirectionsTest : public ::testing::TestWithParam<NormKind> {
 protected:
  at::Tensor gamma = gaussian(1, kHidden, 81).squeeze(0);
  at::Tensor thin = gaussian(kTokens, kRank, 82).mm(gaussian(kRank, kHidden, 83)) + 0.5;
};

TEST_P(ExplainedDirectionsTest, AreThoseThatNoRowReaches) {
  for (const std::vector<std::int64_t>& dead : {std::vector<std::int64_t>{}, {3, 10, 40}}) {
    for (const std::int64_t i : dead) gamma[i].zero_();
    const Explained found = explained(GetParam(), gamma, thin);
    EXPECT_EQ(found.inherited, counted(GetParam(), gamma, thin));
    EXPECT_GT(found.inherited, 0);
    const at::Tensor reached = (centred(GetParam(), thin) * gamma).mm(found.directions);
    // sqrt(d u) of the largest: a moment's null direction is known to a root of its rounding.
    EXPECT_LT(reached.abs().max().item<double>(), 1e-7 * thin.abs().max().item<double>());
    const at::Tensor gram = found.directions.t().mm(found.directions);
    EXPECT_LT((gram - at::eye(gram.size(0), fp64())).abs().max().item<double>(), 1e-13)
        << "orthonormal to some d u";
  }
}

TEST_P(ExplainedDirectionsTest, AreThePredictedOnesOfAnInputOfFullRank) {
  const at::Tensor x = gaussian(kTokens, kHidden, 84) + 0.5;
  EXPECT_EQ(explained(GetParam(), gamma, x).inherited, 0);
  // Scales over eight powers of ten, one huge column and one huge row: no rank is lost.
  const at::Tensor graded = at::pow(10.0, at::linspace(-4, 3, kHidden, fp64()));
  at::Tensor huge = x.clone();
  huge.select(1, 7).mul_(1e3);
  huge.select(0, 0).mul_(1e3);
  EXPECT_EQ(explained(GetParam(), graded, huge).inherited, 0);
}

TEST_P(ExplainedDirectionsTest, TakeTheRoundingOfFloat32ForNone) {
  const at::Tensor rounded = thin.to(at::kFloat).to(at::kDouble);
  EXPECT_EQ(explained(GetParam(), gamma, rounded, 0x1p-24).inherited,
            counted(GetParam(), gamma, rounded, 1e-5));
}

TEST_P(ExplainedDirectionsTest, LeaveOutWhereTheRowsMerelyAgree) {
  at::Tensor x = gaussian(kTokens, kHidden, 85);
  x.select(1, 5).fill_(2.0);  // null in the centred covariance of x, not in that of h
  EXPECT_EQ(explained(GetParam(), gamma, x).inherited, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ExplainedDirectionsTest, ::testing::Values(kLayerNorm, kRmsNorm),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(ExplainedDirectionsTest, CountTinyScalesAsPredicted) {
  at::Tensor gamma = gaussian(1, kHidden, 86).squeeze(0);
  for (const std::int64_t i : {3, 10}) gamma[i].fill_(1e-20);
  const at::Tensor x = gaussian(kTokens, kRank, 87).mm(gaussian(kRank, kHidden, 88));
  // 48 - 2 coordinates, of which a LayerNorm's rows reach 30 directions: the tiny scales take the
  // place of v*.
  EXPECT_EQ(explained(kLayerNorm, gamma, x).inherited, kHidden - 2 - kRank);
  EXPECT_EQ(explained(kRmsNorm, gamma, x).inherited, kHidden - 2 - kRank);
}

}  // namespace
}  // namespace deadray
