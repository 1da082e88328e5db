#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/spawned.h"

// The main claim on real pretrained weights, through the program. Skipped, visibly, until
// scripts/samples has fetched them.
namespace deadray::test {
namespace {

nlohmann::json record_of_sample(const std::string& command, const std::string& name,
                                std::vector<std::string> options) {
  options.insert(options.begin(), {command, DEADRAY_SAMPLES "/" + name});
  options.insert(options.end(), {"--json", "-"});
  Spawned run(std::move(options));
  EXPECT_EQ(run.wait(), 0) << run.errors();
  return nlohmann::json::parse(run.output());
}

class SamplesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(DEADRAY_SAMPLES "/smollm2-135m/model.safetensors"))
      GTEST_SKIP() << "run scripts/samples first";
  }
};

TEST_F(SamplesTest, EveryLayerNormOfATrainedGpt2IsConfirmedAndItsStreamPreserved) {
  const auto record =
      record_of_sample("verify", "microformer-mgm", {"--site", "all", "--residual"});
  ASSERT_EQ(record.at("sites").size(), 17U);
  for (const auto& site : record.at("sites")) {
    EXPECT_EQ(site.at("verdict"), "confirmed") << site.dump();
    for (const char* reading : {"exact", "deployed"})
      EXPECT_GE(site.at(reading).at("abs_cos").get<double>(), 0.9999) << reading << site.at("name");
  }
  EXPECT_EQ(record.at("residual").at("preserved"), true);
}

// Three scales of the last norm are numerically zero there: the bottom eigenvector is any vector of
// their span, so a lone v* would fail.
TEST_F(SamplesTest, TheLastLayerNormOfATrainedBertIsThreeDimensional) {
  const auto record = record_of_sample("verify", "all-minilm-l6-v2", {"--site", "all"});
  ASSERT_EQ(record.at("sites").size(), 13U);
  for (const auto& site : record.at("sites"))
    EXPECT_EQ(site.at("verdict"), "confirmed") << site.dump();
  const auto& last = record.at("sites").back();
  EXPECT_EQ(last.at("predicted").at("dimension"), 3);
  EXPECT_EQ(last.at("exact").at("dimension"), 3);
  for (const auto& cosine : last.at("exact").at("principal_cosines"))
    EXPECT_GE(cosine.get<double>(), 0.9999);
}

TEST_F(SamplesTest, TheFinalRmsNormOfATrainedLlamaHasNone) {
  const auto site = record_of_sample("verify", "smollm2-135m", {}).at("sites").at(0);
  EXPECT_EQ(site.at("verdict"), "absent");
  EXPECT_GT(site.at("exact").at("chance_p").get<double>(), 1e-3);  // |cos| as a random direction's
}

// All 8 blocks x 2 norms of a trained GPT-2: F of rounding, outputs that stay at a hundred times
// |W|. Its head is tied, so not claimed; a copy of its own is dead all the same.
TEST_F(SamplesTest, TheParameterDirectionsOfATrainedGpt2AreDead) {
  const auto record = record_of_sample("fisher", "microformer-mgm",
                                       {"--site", "all", "--invariance", "--random-tokens", "256",
                                        "--directions", "1", "--controls", "3", "--no-kfac"});
  ASSERT_EQ(record.at("consumers").size(), 17U);
  for (const auto& consumer : record.at("consumers")) {
    EXPECT_LT(consumer.at("ratio").get<double>(), 1e-24) << consumer.dump();
    EXPECT_EQ(consumer.at("claimed").get<bool>(), consumer.at("name") != "lm_head");
    if (!consumer.at("claimed")) continue;
    EXPECT_LT(consumer.at("invariance").get<double>(), 1e-10) << consumer.dump();
    EXPECT_GT(consumer.at("invariance_random").get<double>(), 1e-2) << consumer.dump();
  }
}

TEST_F(SamplesTest, TheSameConstructionIsNotDeadInATrainedLlama) {
  const auto record =
      record_of_sample("fisher", "smollm2-135m",
                       {"--site", "model.layers.15.input_layernorm", "--no-kfac", "--random-tokens",
                        "64", "--directions", "1", "--controls", "3"});
  EXPECT_EQ(record.at("totals").at("dead_directions"), 0);
  ASSERT_EQ(record.at("consumers").size(), 3U);
  for (const auto& consumer : record.at("consumers")) {
    EXPECT_GT(consumer.at("ratio").get<double>(), 1e-3) << consumer.dump();
    EXPECT_LT(consumer.at("ratio").get<double>(), 1e3) << consumer.dump();
  }
}

}  // namespace
}  // namespace deadray::test
