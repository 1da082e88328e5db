#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/checkpoint.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

// `deadray fisher` as a user runs it, on the fixtures.
namespace deadray::test {
namespace {

const std::string kModels = DEADRAY_FIXTURES "/models/";

class FisherCommandTest : public testing::Test {
 protected:
  nlohmann::json record(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "fisher");
    arguments.insert(arguments.end(), {"--random-tokens", "32", "--sequence-length", "8", "--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return nlohmann::json::parse(run.output());
  }
  void expect_failure(ExitCode code, std::vector<std::string> arguments, const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), "fisher");
    test::expect_failure(code, std::move(arguments), parts);
  }
  TemporaryFolder folder_;
};

// Every claimed direction of every LayerNorm family: F of rounding against F of a control, and outputs that do not move at 100 times |W|.
// What is measured without its compensation is not dead, except a bias of keys, which the softmax ignores by itself.
TEST_F(FisherCommandTest, EveryClaimedDirectionIsDead) {
  for (const char* name : {"gpt2-untied", "bert-pooler", "gpt-neox-parallel", "gpt-neox-sequential", "opt-pre", "bloom-three-heads",
                           "falcon-two-norms", "phi-plain", "cohere-qk-norms", "dinov2-swiglu", "vit-pooler", "clip-vision"}) {
    const auto r = record({kModels + name, "--site", "all", "--invariance", "--controls", "3"});
    int claimed = 0;
    for (const auto& consumer : r.at("consumers")) {
      if (!consumer.at("claimed") || consumer.at("dead").is_null()) continue;
      ++claimed;
      EXPECT_LT(consumer.at("ratio").get<double>(), 1e-24) << name << " " << consumer.dump();
      EXPECT_LT(consumer.at("invariance").get<double>(), 1e-10) << name << " " << consumer.dump();
      EXPECT_GT(consumer.at("invariance_random").get<double>(), 1e-4) << name << " " << consumer.dump();
      EXPECT_GT(consumer.at("count").get<int>() + (consumer.at("family") == "weight_and_beta"), 0) << name << " " << consumer.dump();
    }
    EXPECT_GT(claimed, 0) << name;
  }
}

TEST_F(FisherCommandTest, ClaimsNothingOfRmsNormsWhereNothingIsDead) {
  for (const char* name : {"llama-gqa-tied", "qwen3-moe", "gemma2"}) {
    const auto r = record({kModels + name, "--site", "all", "--controls", "3"});
    EXPECT_EQ(r.at("totals").at("dead_directions"), 0) << name;
    for (const auto& consumer : r.at("consumers")) {
      EXPECT_EQ(consumer.at("claimed"), false) << name;
      if (consumer.at("ratio").is_null() || consumer.at("random").at("max") == 0.0) continue;  // an expert that no token chose
      EXPECT_GT(consumer.at("ratio").get<double>(), 1e-3) << name << " " << consumer.dump();
    }
  }
}

TEST_F(FisherCommandTest, ATiedHeadIsNotClaimedThoughItsOwnCopyIsDead) {
  const auto head = record({kModels + "gpt2-tied"}).at("consumers").at(0);
  EXPECT_EQ(head.at("claimed"), false);
  EXPECT_NE(head.at("why").get<std::string>().find("tied"), std::string::npos);
  EXPECT_LT(head.at("ratio").get<double>(), 1e-24);
}

TEST_F(FisherCommandTest, Float32SeesTheSameToItsOwnRounding) {
  for (const auto& consumer : record({kModels + "gpt2-untied", "--site", "all", "--dtype", "float32"}).at("consumers"))
    EXPECT_LT(consumer.at("ratio").get<double>(), 1e-10) << consumer.dump();
}

TEST_F(FisherCommandTest, RunsAtRandomInitialisationFromTheConfigurationAlone) {
  write_text(folder_.path() / "config.json", kSmallConfig);
  const auto r = record({folder_.path().string(), "--init", "random", "--site", "all"});
  ASSERT_EQ(r.at("consumers").size(), 3U);
  EXPECT_LT(r.at("consumers").at(0).at("ratio").get<double>(), 1e-24);
}

TEST_F(FisherCommandTest, RecordsRepeatButForTimeAndEnvironment) {
  auto one = record({kModels + "phi-plain", "--site", "all"}), other = record({kModels + "phi-plain", "--site", "all", "--threads", "1"});
  for (auto* r : {&one, &other}) r->erase("seconds"), r->erase("environment");
  EXPECT_EQ(one.at("totals"), other.at("totals"));
  auto again = record({kModels + "phi-plain", "--site", "all"});
  again.erase("seconds"), again.erase("environment");
  EXPECT_EQ(one, again);
}

TEST_F(FisherCommandTest, DumpsTheDirectionsForAnotherProgram) {
  const std::filesystem::path file = folder_.path() / "directions.safetensors";
  const auto r = record({kModels + "gpt2-untied", "--directions", "1", "--controls", "2", "--dump", file.string()});
  const std::string bytes = read_text(file);
  const auto at = bytes.find("__metadata__");
  ASSERT_NE(at, std::string::npos);
  EXPECT_NO_THROW(Checkpoint::open(file).at("v0"));
  EXPECT_NE(bytes.find("weight_only"), std::string::npos);
}

TEST_F(FisherCommandTest, RefusesWhatItCannotDo) {
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--dtype", "bfloat16"}, {"--dtype", "bfloat16"});
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--controls", "0"}, {"--controls"});
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--site", "ln_x"}, {"ln_x"});
  expect_failure(ExitCode::resources, {kModels + "gpt2-tied", "--dump", (folder_.path() / "no/such/file").string()}, {"no/such"});
  expect_failure(ExitCode::resources, {kModels + "gpt2-tied", "--json", (folder_.path() / "no/such/file").string()}, {"no/such"});
}

}  // namespace
}  // namespace deadray::test
