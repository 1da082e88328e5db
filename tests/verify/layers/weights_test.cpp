#include "verify/layers/weights.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/verify/forward/model_fixture.h"

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

// GPT-2's Conv1D keeps [in, out].
TEST(LoadLinearTest, TurnsWhatIsStoredTheOtherWay) {
  const auto model = prepare_model(test::kModels / "gpt2-tied", {});
  const LinearSpec& in = model->architecture.block(0).mlp.in;
  const at::Tensor stored =
      test::read_tensor(*model->checkpoint, "transformer.h.1.mlp.c_fc.weight");
  EXPECT_EQ(stored.size(0), in.inputs);
  EXPECT_TRUE(load_linear(*model->weights, in, 1, at::kFloat).weight.equal(stored.t()));
}

TEST(LoadLinearTest, PutsThePartsSideBySide) {
  const auto model = prepare_model(test::kModels / "llama-gqa-tied", {});
  const LinearSpec& qkv = model->architecture.block(0).attention.qkv;
  const Linear linear = load_linear(*model->weights, qkv, 0, at::kFloat);
  std::vector<at::Tensor> parts;
  for (const TensorSpec& part : qkv.weights)
    parts.push_back(model->weights->load(part, 0, at::kFloat));
  EXPECT_TRUE(linear.weight.equal(at::cat(parts)));
  EXPECT_EQ(linear.weight.size(0), qkv.outputs);
}

// transformers 5 keeps DINOv2's gate and up in two tensors, the hub in one: the same rows, gate
// first.
TEST(LoadLinearTest, TakesTheAlternativeThatTheCheckpointHolds) {
  const auto model = prepare_model(test::kModels / "dinov2-new-names", {});
  const LinearSpec& in = model->architecture.block(0).mlp.in;
  ASSERT_EQ(in.weights.size(), 1u);
  const Linear linear = load_linear(*model->weights, in, 1, at::kFloat);
  const std::string layer = "encoder.layer.1.mlp.";
  const Checkpoint& file = *model->checkpoint;
  EXPECT_TRUE(linear.weight.equal(at::cat({test::read_tensor(file, layer + "gate_proj.weight"),
                                           test::read_tensor(file, layer + "up_proj.weight")})));
  EXPECT_TRUE(linear.bias.equal(at::cat({test::read_tensor(file, layer + "gate_proj.bias"),
                                         test::read_tensor(file, layer + "up_proj.bias")})));
}

// What is read ahead is what loading will read, also where it is stored in other parts and under
// other names.
TEST(ReadAheadTest, AsksForTheAlternativeThatTheCheckpointHolds) {
  const auto model = prepare_model(test::kModels / "dinov2-new-names", {});
  const auto& weights = dynamic_cast<const CheckpointWeights&>(*model->weights);
  const BlockSpec& block = model->architecture.block(1);
  std::vector<std::string> names;
  for (const TensorInfo* tensor : weights.dense_matrices(block, 1)) names.push_back(tensor->name);
  for (const char* part : {"gate_proj", "up_proj"})
    EXPECT_EQ(
        std::count(names.begin(), names.end(), fmt::format("encoder.layer.1.mlp.{}.weight", part)),
        1)
        << part;
  std::size_t parts = 0;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t) {
    parts += weights.as_stored(linear, 1).weights.size();
  });
  EXPECT_EQ(names.size(), parts) << "none left out";
}

}  // namespace
}  // namespace deadray
