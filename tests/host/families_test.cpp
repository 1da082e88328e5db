#include "tests/support/describe.h"

namespace deadray::test {
namespace {

using Json = nlohmann::json;

const Json kGpt2 = {{"model_type", "gpt2"}, {"n_embd", 8}, {"n_layer", 2}, {"n_head", 2}, {"n_positions", 16}, {"vocab_size", 11}};
const Json kBert = {{"model_type", "bert"},     {"hidden_size", 8},        {"num_hidden_layers", 2},
                    {"num_attention_heads", 2}, {"intermediate_size", 12}, {"vocab_size", 11}};
const Json kLlama = {{"model_type", "llama"},    {"hidden_size", 8},        {"num_hidden_layers", 2},
                     {"num_attention_heads", 4}, {"intermediate_size", 12}, {"vocab_size", 11}};

TEST(FamiliesTest, DescribesTheLeastConfigurationOfEach) {
  EXPECT_EQ(families().size(), 12u) << "a family was added: give it a configuration here, or in llama_kin_test.cpp";
  for (const Json& config : {kGpt2, kBert, kLlama}) {
    const Architecture a = describe(config);
    EXPECT_EQ(a.family, config.at("model_type"));
    EXPECT_EQ(a.hidden_size, 8);
    EXPECT_EQ(a.n_blocks, 2);
    EXPECT_EQ(a.vocab_size, 11);
    EXPECT_GT(count_parameters(a), 0);
  }
}

TEST(FamiliesTest, RefuseByKeyWhatTheExecutorDoesNotRun) {
  const struct {
    const Json& config;
    Json changes;
    const char* named;
  } kCases[] = {
      {kGpt2, {{"add_cross_attention", true}}, "add_cross_attention"},
      {kGpt2, {{"scale_attn_by_inverse_layer_idx", true}}, "scale_attn_by_inverse_layer_idx"},
      {kGpt2, {{"activation_function", "mish"}}, "activation_function is \"mish\""},
      {kBert, {{"is_decoder", true}}, "is_decoder"},
      {kBert, {{"add_cross_attention", true}}, "add_cross_attention"},
      {kBert, {{"position_embedding_type", "relative_key"}}, "position_embedding_type"},
      {kBert, {{"hidden_act", "mish"}}, "hidden_act is \"mish\""},
      {kLlama, {{"hidden_act", "mish"}}, "hidden_act is \"mish\""},
      {kLlama, {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, "rope_scaling.rope_type is \"yarn\""},
      {kLlama, {{"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}}}, "rope_scaling.rope_type is \"dynamic\""},
      {kLlama, {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}, "rope_parameters.partial_rotary_factor"},
      {kLlama, {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor is 0.5"},
  };
  for (const auto& c : kCases) {
    const std::string message = refusal(c.config, c.changes);
    EXPECT_TRUE(contains(message, "model/config.json: "));
    EXPECT_TRUE(contains(message, c.named));
  }
}

TEST(FamiliesTest, RefuseSizesThatContradictEachOther) {
  for (const auto& [config, key] : {std::pair{kGpt2, "n_head"}, {kBert, "num_attention_heads"}, {kLlama, "num_attention_heads"}}) {
    const std::string message = refusal(config, {{key, 3}}, ExitCode::malformed);
    EXPECT_TRUE(contains(message, " 8 is not a multiple of "));
    EXPECT_TRUE(contains(message, std::string(key) + " 3"));
  }
  EXPECT_TRUE(contains(refusal(kLlama, {{"num_key_value_heads", 3}}, ExitCode::malformed), "num_key_value_heads 3"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"head_dim", 7}}, ExitCode::malformed), "head_dim 7"));
}

TEST(FamiliesTest, RefuseNumbersThatNoModelHas) {
  EXPECT_TRUE(contains(refusal(kGpt2, {{"layer_norm_epsilon", -1e-5}}, ExitCode::malformed), "layer_norm_epsilon"));
  EXPECT_TRUE(contains(refusal(kBert, {{"layer_norm_eps", -1e-12}}, ExitCode::malformed), "layer_norm_eps"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"rms_norm_eps", -1e-6}}, ExitCode::malformed), "rms_norm_eps"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"initializer_range", -0.02}}, ExitCode::malformed), "initializer_range"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"rope_theta", 0}}, ExitCode::malformed), "rope_theta"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 0.0}}}}, ExitCode::malformed),
                       "rope_scaling.factor"));
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 4.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  EXPECT_TRUE(contains(refusal(kLlama, {{"rope_scaling", llama3}}, ExitCode::malformed), "low_freq_factor 4 must be below"));
}

TEST(FamiliesTest, RefuseSizesWhoseProductsOverflow) {
  EXPECT_TRUE(contains(refusal(kGpt2, {{"n_embd", 9'000'000'000'000'000'000}}, ExitCode::malformed), "n_embd"));
  EXPECT_TRUE(contains(refusal(kBert, {{"vocab_size", std::int64_t{1} << 33}}, ExitCode::malformed), "vocab_size"));
  // Each in its bounds, together beyond any count.
  const Json huge = {{"hidden_size", kLargestSize}, {"num_attention_heads", kLargestSize}, {"head_dim", kLargestSize}};
  EXPECT_TRUE(contains(refusal(kLlama, huge, ExitCode::malformed), "more than 2^63 - 1 parameters"));
  EXPECT_TRUE(contains(refusal(kGpt2, {{"n_embd", kLargestSize}, {"n_layer", kLargestSize}}, ExitCode::malformed), "model/config.json"));
}

TEST(FamiliesTest, ReadTheRopeSettingsOfOldAndNewConfigurations) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2.5}};
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Rope rope = *describe(kLlama, {{key, linear}, {"rope_theta", 5e5}}).block(0).attention.rope;
    EXPECT_EQ(rope.scaling, Rope::Scaling::linear);
    EXPECT_EQ(rope.factor, 2.5);
    EXPECT_EQ(rope.theta, 5e5);
    EXPECT_EQ(rope.rotated_dims, 2);
  }
  EXPECT_EQ(describe(kLlama, {{"rope_parameters", {{"rope_theta", 7e4}}}}).block(0).attention.rope->theta, 7e4);
  EXPECT_EQ(describe(kLlama).block(0).attention.rope->theta, 1e4);
  // As transformers: the old key wins where a file has both, and the table's length is the original one where none is given.
  const Json llama3 = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  const Json both = {{"rope_scaling", llama3}, {"rope_parameters", linear}, {"max_position_embeddings", 48}};
  const Rope rope = *describe(kLlama, both).block(0).attention.rope;
  EXPECT_EQ(rope.scaling, Rope::Scaling::llama3);
  EXPECT_EQ(rope.original_max_positions, 48);
}

TEST(FamiliesTest, TakeTheHeadThatTheClassNames) {
  EXPECT_TRUE(describe(kGpt2).head);
  EXPECT_FALSE(describe(kGpt2, {{"architectures", {"GPT2Model"}}}).head);
  EXPECT_TRUE(describe(kGpt2, {{"architectures", {"GPT2LMHeadModel"}}}).head->tied);
  EXPECT_FALSE(describe(kLlama, {{"architectures", {"LlamaForCausalLM"}}}).head->tied);
  const Architecture bert = describe(kBert, {{"architectures", {"BertForMaskedLM"}}});
  EXPECT_TRUE(bert.head->transform);
  EXPECT_FALSE(bert.pooler);
  EXPECT_FALSE(describe(kBert).head);
  EXPECT_TRUE(describe(kBert).pooler);
}

TEST(FamiliesTest, CountTiedWeightsOnce) {
  const std::int64_t tied = count_parameters(describe(kGpt2));
  EXPECT_EQ(count_parameters(describe(kGpt2, {{"tie_word_embeddings", false}})) - tied, 11 * 8);
  // Embeddings, then per block two norms, q|k|v and out, the MLP of width 4 d, all with biases, then the final norm.
  EXPECT_EQ(tied, 11 * 8 + 16 * 8 + 2 * (2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8)) + 16);
}

}  // namespace
}  // namespace deadray::test
