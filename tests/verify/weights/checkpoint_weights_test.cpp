#include "verify/weights/checkpoint_weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
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

/// One value of a stored float32 tensor becomes another.
void damage(const std::filesystem::path& model, const std::string& name, std::int64_t element,
            float value) {
  const auto file = model / "model.safetensors";
  const std::uint64_t offset = Checkpoint::open(file).at(name).offset;
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset + static_cast<std::uint64_t>(element) * 4));
  stream.write(reinterpret_cast<const char*>(&value), 4);
}

// What is not finite is told with its tensor, whether it is read as stored or converted, whole or
// by rows.
TEST(CheckpointWeightsTest, RefusesValuesThatAreNotFinite) {
  const std::string matrix = "model.layers.1.mlp.down_proj.weight",
                    table = "model.embed_tokens.weight";
  for (const auto& [name, value] :
       {std::pair{matrix, std::nanf("")}, {table, std::numeric_limits<float>::infinity()}}) {
    const test::TemporaryFolder folder;
    const auto path = folder / "llama";
    std::filesystem::copy(test::kModels / "llama-mha", path);
    damage(path, name, 37, value);
    const auto model = prepare_model(path, {});
    const auto read = [&](at::ScalarType dtype) {
      if (name == table) {
        const TensorSpec& spec = model->architecture.tokens->table;
        const at::Tensor ids = at::arange(2, at::kLong);
        model->weights->read_rows(spec, ids, at::empty({2, spec.shape[1]}, dtype));
      } else {
        const TensorSpec& spec = model->architecture.block(1).mlp.out.weights[0];
        model->weights->read(spec, 1, at::empty(spec.shape, dtype));
      }
    };
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const std::string message = test::message_of(ExitCode::malformed, [&] { read(dtype); });
      EXPECT_TRUE(test::contains(message, "tensor '" + name + "': element 37 of ")) << message;
    }
  }
}

}  // namespace
}  // namespace deadray
