#include "verify/weights/checkpoint_weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/verify/forward/model_fixture.h"

namespace deadray {
namespace {

// What is read ahead is what loading will read, also where it is stored in other parts and under
// other names.
TEST(CheckpointWeightsTest, ReadAheadAsksForTheAlternativeThatTheCheckpointHolds) {
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
