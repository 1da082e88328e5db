#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/sharded_model.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

// What the command does whatever the container; tests/scripts/convert_*_test.py have PyTorch's and
// GGUF's, written and read by their own packages.
namespace deadray::test {
namespace {

class ConvertCommandTest : public ::testing::Test {
 protected:
  std::vector<std::string> command(std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"convert", folder_.path().string(), out_.string()});
    return options;
  }
  std::vector<std::string> left_behind() const {
    std::vector<std::string> names;
    if (fs::exists(out_))
      for (const auto& entry : fs::directory_iterator(out_))
        names.push_back(entry.path().filename().string());
    return names;
  }

  TemporaryFolder folder_;
  TemporaryFolder elsewhere_;
  fs::path out_ = elsewhere_.path() / "new" / "out";
};

TEST_F(ConvertCommandTest, JoinsShardsAndTakesTheConfigurationAsItIs) {
  write_sharded(folder_);
  const std::string text = "{\"model_type\":\n   \"something_new\"}";
  folder_.write("config.json", text);
  Spawned run(command());
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_EQ(run.errors(), "");
  EXPECT_TRUE(contains(run.output(), "model.safetensors: 2 tensors, "));
  const Checkpoint found = Checkpoint::open(out_ / "model.safetensors");
  ASSERT_EQ(found.tensors().size(), 2U);
  EXPECT_EQ(found.read_fp64(found.at("a")), std::vector<double>{1.0});
  EXPECT_EQ(found.read_fp64(found.at("b")), std::vector<double>{2.0});
  EXPECT_EQ(read_text(out_ / "config.json"), text);
}

TEST_F(ConvertCommandTest, CopiesATensorOfSeveralPiecesBitByBit) {
  SmallTensor large = random_tensor({3, 1'000'003}, 1);
  write_tensors(folder_ / "model.safetensors", {{"large", large}, {"small", vector_of({5})}});
  Spawned run(command());
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_TRUE(contains(run.errors(), "no config.json"));
  const Checkpoint found = Checkpoint::open(out_);
  EXPECT_EQ(found.at("large").shape, large.shape);
  std::vector<float> values(large.values.size());
  found.read(found.at("large"), values.data());
  EXPECT_EQ(values, large.values);
}

TEST_F(ConvertCommandTest, ReplacesWhatIsThereOnlyByForce) {
  write_small_gpt2(folder_.path());
  EXPECT_EQ(Spawned(command()).wait(), 0);
  expect_failure(ExitCode::usage, command(), {"model.safetensors: already there", "--force"});
  fs::remove(out_ / "model.safetensors");
  expect_failure(ExitCode::usage, command(), {"config.json: already there", "--force"});
  EXPECT_FALSE(fs::exists(out_ / "model.safetensors"));
  EXPECT_EQ(Spawned(command({"--force"})).wait(), 0);
}

TEST_F(ConvertCommandTest, WritesBesideTheWeightsWithoutTouchingTheirConfiguration) {
  write_small_gpt2(folder_.path());
  fs::rename(folder_ / "model.safetensors", folder_ / "weights.safetensors");
  const std::string file = (folder_ / "weights.safetensors").string();
  const auto before = fs::last_write_time(folder_ / "config.json");
  Spawned run({"convert", file, folder_.path().string()});
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_EQ(fs::last_write_time(folder_ / "config.json"), before);
}

TEST_F(ConvertCommandTest, RefusesWithOneLineAndLeavesNothingBehind) {
  expect_failure(ExitCode::unsupported, command(), {"no weights"});
  folder_.write("model.safetensors", "");
  expect_failure(ExitCode::malformed, command(), {"0 bytes"});
  folder_.write("model.safetensors",
                safetensors(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})",
                            std::string(8, '\0')));
  expect_failure(ExitCode::unsupported, command(), {"'a'", "'C64'", "safetensors"});
  folder_.write("model.safetensors", one_tensor("a"));
  folder_.write("config.json", "{");
  expect_failure(ExitCode::malformed, command(), {"config.json", "not JSON"});
  EXPECT_EQ(left_behind(), std::vector<std::string>());
}

TEST_F(ConvertCommandTest, AFullDiskLeavesNoHalfFile) {
  write_tensors(folder_ / "model.safetensors", {{"large", random_tensor({1 << 16}, 1)}});
  const FileSizeLimit limit(1 << 14);
  expect_failure(ExitCode::resources, command(), {"model.safetensors"});
  EXPECT_EQ(left_behind(), std::vector<std::string>());
}

}  // namespace
}  // namespace deadray::test
