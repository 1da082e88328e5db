#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

namespace deadray::test {
namespace {

class CensusCommandTest : public ::testing::Test {
 protected:
  std::string model() const { return folder_.path().string(); }
  TemporaryFolder folder_;
};

TEST_F(CensusCommandTest, ShowsCausesBlocksAndTheBound) {
  folder_.write("config.json", R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
    "n_embd": 8, "n_head": 2, "n_layer": 2, "n_inner": 12, "n_positions": 6, "vocab_size": 11,
    "tie_word_embeddings": false})");
  Spawned run({"census", model()});
  ASSERT_EQ(run.wait(), 0) << run.errors();
  const std::string text = run.output();
  for (const char* part :
       {"norm_kernel", "0–1", "not homogeneous", "409 of 1304 directions",
        "at most (1304 - 409 - 0)/2 = 447.5", "flat but for eps: 1 stream_scale"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST_F(CensusCommandTest, WritesARecordWhoseCausesSumUp) {
  write_small_gpt2(folder_.path());
  Spawned run({"census", model(), "--json", "-"});
  ASSERT_EQ(run.wait(), 0) << run.errors();
  const auto record = nlohmann::json::parse(run.output());
  EXPECT_EQ(record["schema"], "deadray/census/1");
  EXPECT_EQ(record["model"]["family"], "gpt2");
  EXPECT_EQ(record["model"]["weights"], true);
  std::int64_t sum = 0;
  std::set<std::string> causes;
  for (const auto& cause : record["causes"]) {
    sum += cause["dimension"].get<std::int64_t>();
    causes.insert(cause["cause"]);
    EXPECT_EQ(cause["why"].is_null(), cause["dimension"] != 0) << cause;
  }
  EXPECT_EQ(sum, record["flat"]);
  EXPECT_EQ(causes.size(), 18U) << "those that give nothing are listed too";
  EXPECT_EQ(record["llc_bound"],
            (record["parameters"].get<double>() - sum - record["unreached"].get<double>()) / 2);
}

TEST_F(CensusCommandTest, AConfigurationSufficesAsAFileOrInAFolder) {
  folder_.write("config.json", kSmallConfig);
  Spawned folder({"census", model(), "--json", "-"});
  Spawned file({"census", model() + "/config.json", "--json", "-"});
  ASSERT_EQ(folder.wait(), 0) << folder.errors();
  const auto a = nlohmann::json::parse(folder.output()), b = nlohmann::json::parse(file.output());
  EXPECT_EQ(a["model"]["weights"], false);
  EXPECT_EQ(a["causes"], b["causes"]);
}

TEST_F(CensusCommandTest, RefusesBadInputAsPredictDoes) {
  expect_failure(ExitCode::usage, {"census", model() + "/nothing"}, {"no such file or folder"});
  expect_failure(ExitCode::unsupported, {"census", model()}, {"no weights: found nothing"});
  folder_.write("config.json", R"({"model_type": "gpt2", "n_embd": 8, "n_head": 3,
    "n_layer": 1, "n_positions": 6, "vocab_size": 11})");
  expect_failure(ExitCode::malformed, {"census", model()}, {"config.json", "n_head"});
  folder_.write("config.json", R"({"model_type": "gpt3"})");
  expect_failure(ExitCode::unsupported, {"census", model()}, {"gpt3", "did you mean"});
  folder_.write("config.json", kSmallConfig);
  folder_.write("model.safetensors", "damaged");
  expect_failure(ExitCode::malformed, {"census", model()}, {"model.safetensors"});
  expect_failure(ExitCode::usage,
                 {"census", model() + "/config.json", "--json", model() + "/config.json"},
                 {"would be replaced"});
}

}  // namespace
}  // namespace deadray::test
