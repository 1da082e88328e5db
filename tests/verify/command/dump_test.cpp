#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/formats/checkpoint.h"
#include "tests/support/spawned.h"

// The dump as a user gets it, against what transformers computed from the same tokens.
namespace deadray::test {
namespace {

struct Case {
  std::string name;
  double tolerance64 = 0, tolerance32 = 0;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

std::vector<Case> cases() {
  std::ifstream file(DEADRAY_FIXTURES "/models/index.json");
  std::vector<Case> all;
  for (const auto& entry : nlohmann::json::parse(file))
    all.push_back({entry.at("name"), entry.at("tolerance64"), entry.value("tolerance32", 1e-5)});
  return all;
}

class DumpTest : public testing::TestWithParam<Case> {
 protected:
  /// Every tensor of the reference but what the model read, and the predictor's, must be in the
  /// dump, with its shape and its values; and nothing else.
  void expect_reference(const char* dtype, const char* reference_name, double tolerance) {
    const std::string model = DEADRAY_FIXTURES "/models/" + GetParam().name,
                      reference_file = model + "/" + reference_name;
    const Checkpoint reference = Checkpoint::open(reference_file);
    std::vector<std::string> arguments = {
        "verify",  model, "--tokens", reference_file,
        "--dtype", dtype, "--dump",   (folder_ / "dump.safetensors")};
    if (reference.find("logits") != nullptr) arguments.push_back("--dump-logits");
    if (reference.find("final_norm.output") == nullptr)
      arguments.insert(arguments.end(), {"--site", "all"});  // there is no final one
    Spawned run(std::move(arguments));
    const int code = run.wait();
    ASSERT_TRUE(code == 0 || code == 8)
        << code << ": " << run.errors();  // a fixture's few tokens may leave the verdict open

    const Checkpoint dump = Checkpoint::open(folder_ / "dump.safetensors");
    std::size_t compared = 0;
    for (const TensorInfo& tensor : reference.tensors()) {
      const bool dumped_at_all = tensor.name.starts_with("residual.") ||
                                 tensor.name == "final_norm.output" || tensor.name == "logits";
      if (!dumped_at_all) continue;
      ++compared;
      const TensorInfo& dumped = dump.at(tensor.name);
      ASSERT_EQ(dumped.shape, tensor.shape) << tensor.name;
      EXPECT_EQ(dumped.dtype, tensor.dtype) << tensor.name;
      const std::vector<double> want = reference.read_fp64(tensor), got = dump.read_fp64(dumped);
      double largest = 0, error = 0;
      for (std::size_t i = 0; i < want.size(); ++i) {
        largest = std::max(largest, std::abs(want[i]));
        error = std::max(error, std::abs(got[i] - want[i]));
      }
      EXPECT_LE(error, tolerance * largest) << tensor.name;
    }
    EXPECT_EQ(dump.tensors().size(), compared);
  }

  TemporaryFolder folder_;
};

// The bounds are those of the executor's own tests.
TEST_P(DumpTest, HoldsWhatTransformersComputesInFloat32) {
  expect_reference("float32", "reference.safetensors", GetParam().tolerance32);
}
TEST_P(DumpTest, HoldsWhatTransformersComputesInFloat64) {
  expect_reference("float64", "reference64.safetensors", GetParam().tolerance64);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DumpTest, testing::ValuesIn(cases()), [](const auto& instance) {
  std::string name = instance.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace deadray::test
