#include "verify/weights/random_weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

namespace deadray {
namespace {

const TensorSpec kSpec = {"embed.weight", {1000, 300}, {Init::Kind::normal, 0.02, /*zero_row=*/7}};

Architecture prefixed() {
  Architecture architecture;
  architecture.prefixes = {"model."};
  return architecture;
}

TEST(RandomWeightsTest, DependOnSeedAndNameAlone) {
  const Architecture architecture = prefixed();
  const RandomWeights weights(architecture, 3), other_seed(architecture, 4);
  const at::Tensor all = weights.load(kSpec, -1, at::kFloat);
  at::set_num_threads(1);
  EXPECT_TRUE(weights.load(kSpec, -1, at::kFloat).equal(all));
  at::set_num_threads(2);
  EXPECT_FALSE(other_seed.load(kSpec, -1, at::kFloat).equal(all));
  TensorSpec renamed = kSpec;
  renamed.name = "lm_head.weight";
  EXPECT_FALSE(weights.load(renamed, -1, at::kFloat).equal(all));
  EXPECT_TRUE(weights.load(kSpec, -1, at::kBFloat16).equal(all.to(at::kBFloat16)));
}

TEST(RandomWeightsTest, FollowTheFamilysRule) {
  const Architecture architecture = prefixed();
  const at::Tensor all = RandomWeights(architecture, 0).load(kSpec, -1, at::kFloat).to(at::kDouble);
  EXPECT_EQ(all[7].abs().max().item<double>(), 0.0);
  const at::Tensor others = all.narrow(0, 8, 992);
  // Five standard errors of the mean and of the deviation of 297 600 draws.
  EXPECT_NEAR(others.mean().item<double>(), 0.0, 5 * 0.02 / std::sqrt(297600.0));
  EXPECT_NEAR(others.std().item<double>(), 0.02, 5 * 0.02 / std::sqrt(2 * 297600.0));
}

TEST(RandomWeightsTest, TakeAConstantFromTheConfiguration) {
  const Architecture architecture = prefixed();
  const TensorSpec scale = {"layer_scale1.lambda1", {5}, {Init::Kind::constant, 0.25}};
  EXPECT_TRUE(
      RandomWeights(architecture, 0).load(scale, -1, at::kFloat).equal(at::full({5}, 0.25F)));
}

TEST(RandomWeightsTest, RowsAreThoseOfTheWholeTensor) {
  const Architecture architecture = prefixed();
  const RandomWeights weights(architecture, 0);
  const at::Tensor ids = at::tensor({7, 0, 999, 7, 12}, at::kLong);
  at::Tensor rows = at::empty({5, 300});
  weights.read_rows(kSpec, ids, rows);
  EXPECT_TRUE(rows.equal(weights.load(kSpec, -1, at::kFloat).index_select(0, ids)));
}

}  // namespace
}  // namespace deadray
