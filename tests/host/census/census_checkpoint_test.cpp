// What the weights decide: scales that are exactly zero, shifts that are, heads that are missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "host/census/census_model.h"
#include "tests/support/small_model.h"

namespace deadray::test {
namespace {

std::int64_t directions(const Census& census, std::string_view cause, std::int64_t block) {
  std::int64_t sum = 0;
  for (const CensusEntry& entry : census.causes)
    if (entry.cause == cause && entry.block == block) sum += entry.dimension;
  return sum;
}

class CensusCheckpointTest : public ::testing::Test {
 protected:
  Census census(const SmallTensors& tensors, const std::string& config) {
    write_small_gpt2(folder_.path(), tensors, config);
    return census_of_model(folder_.path(), {}).census;
  }
  static std::string untied() {
    auto config = nlohmann::json::parse(kSmallConfig);
    config["tie_word_embeddings"] = false;
    return config.dump();
  }
  static SmallTensors with_head() {
    SmallTensors tensors = small_gpt2();
    tensors["lm_head.weight"] = random_tensor({11, kSmallWidth}, 77);
    return tensors;
  }
  TemporaryFolder folder_;
};

TEST_F(CensusCheckpointTest, TwoZeroScalesKillTwoColumnsOfTheReader) {
  SmallTensors tensors = small_gpt2();
  const Census plain = census(tensors, kSmallConfig);
  auto& gamma = tensors["h.0.ln_2.weight"].values;
  gamma[1] = gamma[4] = 0.0F;
  const Census zeros = census(tensors, kSmallConfig);
  constexpr std::int64_t kQkv = 24, kUp = 32;
  EXPECT_EQ(directions(plain, "norm_kernel", 0), kQkv + kUp);
  EXPECT_EQ(directions(zeros, "norm_kernel", 0), kQkv + 2 * kUp);
  EXPECT_EQ(directions(plain, "norm_scale", 0), 16);
  EXPECT_EQ(directions(zeros, "norm_scale", 0), 14);
}

TEST_F(CensusCheckpointTest, ZeroScalesSplitTheRotation) {
  SmallTensors tensors = with_head();
  EXPECT_EQ(directions(census(tensors, untied()), "rotation", -1), 7 * 6 / 2);
  auto& gamma = tensors["h.0.ln_1.weight"].values;
  gamma[0] = gamma[2] = gamma[5] = 0.0F;
  EXPECT_EQ(directions(census(tensors, untied()), "rotation", -1), 5 * 4 / 2 + 2 * 1 / 2);
}

TEST_F(CensusCheckpointTest, WithoutAShiftTheHeadReadsAConstantThatIsZero) {
  SmallTensors tensors = with_head();
  const Census shifted = census(tensors, untied());
  EXPECT_EQ(directions(shifted, "norm_kernel", -1), 0);
  EXPECT_EQ(directions(shifted, "norm_shift", -1), 8);
  std::ranges::fill(tensors["ln_f.bias"].values, 0.0F);
  const Census zero = census(tensors, untied());
  EXPECT_EQ(directions(zero, "norm_kernel", -1), 11);
  EXPECT_EQ(directions(zero, "norm_shift", -1), 0);
  EXPECT_EQ(directions(zero, "head_softmax", -1), 8 - 1) << "u = 1 is in both";
}

TEST_F(CensusCheckpointTest, AHeadThatIsNotStoredIsNotCounted) {
  const Census census = this->census(small_gpt2(), untied());
  EXPECT_EQ(directions(census, "head_softmax", -1), 0);
  EXPECT_EQ(directions(census, "norm_scale", -1), 0) << "the norm's output is the answer";
  ASSERT_FALSE(census.notes.empty());
  EXPECT_NE(census.notes.back().find("holds no head"), std::string::npos) << census.notes.back();
}

TEST_F(CensusCheckpointTest, AnRmsNormWithZeroScalesHasDeadColumns) {
  SmallTensors tensors;
  tensors["model.embed_tokens.weight"] = random_tensor({11, kSmallWidth}, 1);
  tensors["lm_head.weight"] = random_tensor({11, kSmallWidth}, 2);
  for (const char* norm :
       {"model.layers.0.input_layernorm", "model.norm", "model.layers.0.post_attention_layernorm"})
    tensors[std::string(norm) + ".weight"] = random_tensor({kSmallWidth}, 3, 1.0F);
  tensors["model.layers.0.input_layernorm.weight"].values[6] = 0.0F;
  const Census census =
      this->census(tensors, R"({"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2,
        "intermediate_size": 10, "num_hidden_layers": 1, "vocab_size": 11})");
  EXPECT_EQ(directions(census, "norm_kernel", 0), 24);
  EXPECT_EQ(directions(census, "norm_scale", 0), 15);
  EXPECT_EQ(directions(census, "rotation", -1), 7 * 6 / 2);
}

// Every fixture, by its weights and by its configuration alone.
TEST(CensusFixturesTest, EveryFixtureHasACensus) {
  const std::filesystem::path models = std::filesystem::path(DEADRAY_FIXTURES) / "models";
  const auto index = nlohmann::json::parse(read_text(models / "index.json"));
  ASSERT_GT(index.size(), 50U);
  for (const auto& fixture : index) {
    const std::filesystem::path model = models / fixture["name"].get<std::string>();
    for (const auto& path : {model, model / "config.json"}) {
      const ModelCensus found = census_of_model(path, {});
      EXPECT_EQ(found.family, fixture["family"]) << path;
      EXPECT_GT(found.census.flat, 0) << path;
      EXPECT_LT(found.census.flat + found.census.unreached, found.census.parameters) << path;
      for (const CensusEntry& entry : found.census.causes)
        EXPECT_EQ(entry.dimension == 0, !entry.why.empty()) << path << " " << entry.cause;
    }
  }
}

void expect_the_same(const std::filesystem::path& model, const std::filesystem::path& source) {
  const Census found = census_of_model(model, {}).census;
  const Census want = census_of_model(source, {}).census;
  EXPECT_EQ(found.parameters, want.parameters) << model;
  EXPECT_EQ(found.flat, want.flat) << model;
  EXPECT_EQ(found.unreached, want.unreached) << model;
  EXPECT_EQ(found.flat_up_to_eps, want.flat_up_to_eps) << model;
  ASSERT_EQ(found.causes.size(), want.causes.size()) << model;
  for (std::size_t i = 0; i < want.causes.size(); ++i)
    EXPECT_EQ(found.causes[i].dimension, want.causes[i].dimension)
        << model << " " << want.causes[i].cause << " " << want.causes[i].block;
}

// Of each GGUF file that holds what its source holds.
TEST(CensusFixturesTest, AGgufFileGivesWhatItsSourceGives) {
  const std::filesystem::path fixtures = DEADRAY_FIXTURES, files = fixtures / "gguf" / "models";
  int compared = 0;
  for (const auto& file : nlohmann::json::parse(read_text(files / "index.json"))) {
    if (!file.contains("model") || !file["left_out"].empty() || !file["zero"].is_null()) continue;
    expect_the_same(files / (file["name"].get<std::string>() + ".gguf"),
                    fixtures / "models" / file["model"].get<std::string>());
    ++compared;
  }
  EXPECT_GT(compared, 15);
}

TEST(CensusFixturesTest, AnotherContainerGivesWhatSafetensorsGive) {
  const std::filesystem::path fixtures = DEADRAY_FIXTURES, containers = fixtures / "containers";
  expect_the_same(containers / "pytorch" / "gpt2-tied", fixtures / "models" / "gpt2-tied");
  expect_the_same(containers / "pytorch" / "gpt2-shards", fixtures / "models" / "gpt2-tied");
  expect_the_same(containers / "pytorch" / "bert-pooler", fixtures / "models" / "bert-pooler");
  expect_the_same(containers / "numpy" / "gpt2-tied", fixtures / "models" / "gpt2-tied");
}

}  // namespace
}  // namespace deadray::test
