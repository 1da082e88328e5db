#include "verify/layers/linear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/verify/forward/model_fixture.h"

namespace deadray {
namespace {

// GPT-2's Conv1D keeps [in, out].
TEST(LoadLinearTest, TurnsWhatIsStoredTheOtherWay) {
  const auto model = prepare_model(test::kModels / "gpt2-tied", {});
  const LinearSpec& in = model->architecture.block(0).mlp.in;
  const at::Tensor stored =
      test::read_tensor(*model->checkpoint, "transformer.h.1.mlp.c_fc.weight");
  EXPECT_EQ(stored.size(0), in.inputs);
  EXPECT_TRUE(load_linear(*model->weights, in, 1, at::kFloat).weight.value.equal(stored.t()));
}

TEST(LoadLinearTest, PutsThePartsSideBySide) {
  const auto model = prepare_model(test::kModels / "llama-gqa-tied", {});
  const LinearSpec& qkv = model->architecture.block(0).attention.qkv;
  const Linear linear = load_linear(*model->weights, qkv, 0, at::kFloat);
  std::vector<at::Tensor> parts;
  for (const TensorSpec& part : qkv.weights)
    parts.push_back(model->weights->load(part, 0, at::kFloat));
  EXPECT_TRUE(linear.weight.value.equal(at::cat(parts)));
  EXPECT_EQ(linear.weight.value.size(0), qkv.outputs);
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
  EXPECT_TRUE(
      linear.weight.value.equal(at::cat({test::read_tensor(file, layer + "gate_proj.weight"),
                                         test::read_tensor(file, layer + "up_proj.weight")})));
  EXPECT_TRUE(linear.bias.value.equal(at::cat({test::read_tensor(file, layer + "gate_proj.bias"),
                                               test::read_tensor(file, layer + "up_proj.bias")})));
}

}  // namespace
}  // namespace deadray
