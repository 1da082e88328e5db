#include "host/census/census.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/describe.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using nlohmann::json;

const json kGpt2 = {{"model_type", "gpt2"},
                    {"architectures", {"GPT2LMHeadModel"}},
                    {"n_embd", 8},
                    {"n_head", 2},
                    {"n_layer", 1},
                    {"n_inner", 12},
                    {"n_positions", 6},
                    {"vocab_size", 11},
                    {"tie_word_embeddings", false}};

/// Two heads, one block, an MLP of ten units; of most families.
json small(const char* type, const json& more = json::object()) {
  json config{{"model_type", type},          {"hidden_size", 8},       {"num_attention_heads", 2},
              {"intermediate_size", 10},     {"num_hidden_layers", 1}, {"vocab_size", 11},
              {"tie_word_embeddings", false}};
  config.update(more);
  return config;
}
json one_key_head(const char* type, json more = json::object()) {
  more["num_key_value_heads"] = 1;
  return small(type, more);
}
const json kTied = {{"tie_word_embeddings", true}};

Census census(const json& config, const json& changes = json::object()) {
  return census_of(describe(config, changes), std::nullopt);
}

/// Of one cause over all blocks.
std::int64_t directions(const Census& census, std::string_view cause) {
  std::int64_t sum = 0;
  for (const CensusEntry& entry : census.causes)
    if (entry.cause == cause) sum += entry.dimension;
  return sum;
}

std::string why(const Census& census, std::string_view cause) {
  for (const CensusEntry& entry : census.causes)
    if (entry.cause == cause && entry.dimension == 0) return entry.why;
  return "";
}

struct Known {
  const char* name;
  json config;
  std::int64_t parameters, flat;
};
void PrintTo(const Known& known, std::ostream* out) { *out << known.name; }

class KnownCensusTest : public ::testing::TestWithParam<Known> {};

// D minus the rank of the exact Fisher in FP64, found with programs apart from deadray:
// docs/census.md.
TEST_P(KnownCensusTest, CountsWhatTheRankOfTheFisherLeaves) {
  const Known& known = GetParam();
  const Architecture architecture = describe(known.config);
  const Census result = census_of(architecture, std::nullopt);
  EXPECT_EQ(result.parameters, known.parameters);
  EXPECT_EQ(result.parameters, count_parameters(architecture));
  EXPECT_EQ(result.flat, known.flat);
  EXPECT_EQ(result.unreached, 0);
  EXPECT_EQ(result.llc_bound(), static_cast<double>(known.parameters - known.flat) / 2);
  std::int64_t sum = 0;
  for (const CensusEntry& entry : result.causes) {
    sum += entry.dimension;
    EXPECT_GE(entry.dimension, 0) << entry.cause;
    EXPECT_EQ(entry.dimension == 0, !entry.why.empty()) << entry.cause << " " << entry.block;
  }
  EXPECT_EQ(sum, result.flat);
}

INSTANTIATE_TEST_SUITE_P(
    Small, KnownCensusTest,
    ::testing::Values(
        Known{"gpt2, two blocks",
              [] {
                json c = kGpt2;
                c["n_layer"] = 2;
                return c;
              }(),
              1304, 409},
        Known{"gpt2", kGpt2, 772, 239},
        Known{"gpt2, d = 6",
              [] {
                json c = kGpt2;
                c["n_embd"] = 6;
                return c;
              }(),
              534, 172},
        Known{"gpt2, tied",
              [] {
                json c = kGpt2;
                c.update(kTied);
                return c;
              }(),
              684, 184},
        Known{"llama", one_key_head("llama"), 632, 90},
        Known{"llama, two blocks", one_key_head("llama", {{"num_hidden_layers", 2}}), 1080, 136},
        Known{"llama, tied", one_key_head("llama", kTied), 544, 46},
        Known{"qwen3", one_key_head("qwen3", {{"head_dim", 4}}), 640, 88},
        Known{"gpt_neox, sequential",
              small("gpt_neox", {{"use_parallel_residual", false}, {"rotary_pct", 1.0}}), 690, 190},
        // transformers' untied head has a second bias that nothing reads; D there is 11 more.
        Known{"bert with its head",
              small("bert", {{"architectures", {"BertForMaskedLM"}},
                             {"max_position_embeddings", 6},
                             {"type_vocab_size", 1}}),
              845, 241},
        Known{"gpt_neox, parallel", small("gpt_neox", {{"vocab_size", 40}, {"rotary_pct", 1.0}}),
              1154, 226},
        Known{"phi", small("phi", {{"vocab_size", 40}, {"partial_rotary_factor", 0.5}}), 1178, 258},
        Known{"cohere, tied",
              one_key_head("cohere", {{"vocab_size", 40}, {"tie_word_embeddings", true}}), 768, 93},
        Known{"olmo", one_key_head("olmo", {{"vocab_size", 40}}), 1072, 192},
        Known{"olmo, tied",
              one_key_head("olmo", {{"vocab_size", 40}, {"tie_word_embeddings", true}}), 752,
              145}));

// D minus that rank for models over the options of the families, as scripts/census_rank measured
// it.
TEST(MeasuredCensusTest, CountsWhatTheRankOfTheFisherLeaves) {
  const auto models = json::parse(read_text(fs::path(DEADRAY_FIXTURES) / "census.json"));
  ASSERT_GT(models.size(), 70U);
  for (const json& model : models) {
    const Census result = census(model["config"]);
    EXPECT_EQ(result.parameters, model["parameters"]) << model["name"];
    EXPECT_EQ(result.unreached, model["unreached"]) << model["name"];
    EXPECT_EQ(result.flat + result.unreached, model["null"]) << model["name"];
  }
}

// 2 blocks of 170, 24 of the final norm and the head, 24 of the tables, 21 rotations.
TEST(CensusTest, SaysWhichCauseGivesHowMuch) {
  const Census gpt2 = census(kGpt2);
  for (const auto& [cause, dimension] : {std::pair{"norm_kernel", 24 + 12},
                                         {"norm_shift", 24},
                                         {"norm_scale", 24},
                                         {"values", 2 * 16},
                                         {"value_bias", 8},
                                         {"queries_keys", 2 * 16},
                                         {"key_bias", 8},
                                         {"homogeneity", 0},
                                         {"along_one", 9 + 13 + 17},
                                         {"tables", 7},
                                         {"rotation", 21},
                                         {"head_softmax", 8},
                                         {"router", 0},
                                         {"parallel", 0},
                                         {"layer_scale", 0},
                                         {"maps_in_a_row", 0},
                                         {"qk_layernorm", 0},
                                         {"relative_bias", 0}})
    EXPECT_EQ(directions(gpt2, cause), dimension) << cause;
}

TEST(CensusTest, NamesWhatBreaksACause) {
  EXPECT_EQ(why(census(kGpt2), "homogeneity"),
            "the activation is not homogeneous, and there is no gate");
  EXPECT_EQ(directions(census(kGpt2, {{"activation_function", "relu"}}), "homogeneity"), 12);
  EXPECT_NE(why(census(kGpt2, kTied), "rotation").find("tied"), std::string::npos);
  const json gemma2 = one_key_head("gemma2", {{"head_dim", 4}});
  EXPECT_EQ(why(census(gemma2), "head_softmax"), "logits have a soft-cap");
  EXPECT_EQ(directions(census(gemma2, {{"final_logit_softcapping", nullptr}}), "head_softmax"), 8);
  EXPECT_EQ(why(census(one_key_head("qwen3", {{"head_dim", 4}})), "key_bias"),
            "a norm is on the keys");
  EXPECT_EQ(why(census(one_key_head("olmo", {{"clip_qkv", 8.0}})), "values"),
            "queries, keys and values are clipped");
}

TEST(CensusTest, APostNormModelMixesOnlyWhatItsNormsIgnore) {
  const Census opt = census(small("opt", {{"ffn_dim", 10},
                                          {"do_layer_norm_before", false},
                                          {"word_embed_proj_dim", 8},
                                          {"max_position_embeddings", 6}}));
  EXPECT_EQ(directions(opt, "rotation"), 8 + 1) << "x + 1 <w, x> before the first norm; its scales";
  EXPECT_EQ(opt.unreached, 2 * 8) << "the positions' first two rows";
  // Words and positions shift against each other, and both against the first output's bias.
  EXPECT_EQ(directions(opt, "tables"), 8 + 8);
}

// The rank of the Fisher says so for this one, for a CLIP with a projection, and not where it is
// tied.
TEST(CensusTest, TheScalesOfOneNormBetweenTwoStreamsGiveADirection) {
  const json post = small("opt", {{"ffn_dim", 10},
                                  {"vocab_size", 40},
                                  {"do_layer_norm_before", false},
                                  {"word_embed_proj_dim", 8},
                                  {"max_position_embeddings", 6},
                                  {"activation_function", "gelu"}});
  const Census untied = census(post);
  EXPECT_EQ(directions(untied, "rotation"), 8 + 1);
  EXPECT_EQ(untied.flat + untied.unreached, 183);
  EXPECT_EQ(census(post, kTied).flat, 134);
  const Census two_blocks = census(post, {{"num_hidden_layers", 2}});
  EXPECT_EQ(directions(two_blocks, "rotation"), 8) << "too few scales for two norms";
}

TEST(CensusTest, ANormBehindOneFreeTableIsAbsorbed) {
  const json bloom = small("bloom", {{"n_layer", 1}, {"n_head", 2}, {"vocab_size", 40}});
  const Census untied = census(bloom);
  EXPECT_EQ(untied.flat, 311) << "D minus the rank of its Fisher";
  EXPECT_EQ(directions(untied, "rotation"), 21);
  EXPECT_EQ(directions(census(bloom, kTied), "rotation"), 0);
}

TEST(CensusTest, MapsInARowMixAsOftenAsTheyAreFree) {
  const json narrow = small("opt", {{"ffn_dim", 10}, {"word_embed_proj_dim", 4}});
  EXPECT_EQ(directions(census(narrow), "maps_in_a_row"), 2 * 16);
  EXPECT_EQ(directions(census(narrow, kTied), "maps_in_a_row"), 16) << "one table, one basis";
}

TEST(CensusTest, ARouterShiftsAndOneExpertWithoutRivalsIsWhollyFlat) {
  const json mixtral = one_key_head("mixtral", {{"num_local_experts", 4}});
  EXPECT_EQ(directions(census(mixtral), "router"), 8);
  EXPECT_EQ(directions(census(mixtral), "homogeneity"), 4 * 10);
  EXPECT_EQ(directions(census(mixtral, {{"num_experts_per_tok", 1}}), "router"), 4 * 8);
}

TEST(CensusTest, PartsThatNothingRunsAreCountedAllTheSame) {
  const Architecture yarn =
      describe(one_key_head("llama", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}));
  ASSERT_FALSE(yarn.not_run.empty());
  EXPECT_EQ(census_of(yarn, std::nullopt).flat, 90);
}

}  // namespace
}  // namespace deadray::test
