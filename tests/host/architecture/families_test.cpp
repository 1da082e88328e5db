#include "host/architecture/catalogue.h"
#include "tests/support/describe.h"

namespace deadray::test {
namespace {

using Json = nlohmann::json;

const Json kGpt2 = {{"model_type", "gpt2"}, {"n_embd", 8},       {"n_layer", 2},
                    {"n_head", 2},          {"n_positions", 16}, {"vocab_size", 11}};
const Json kBert = {{"model_type", "bert"},     {"hidden_size", 8},        {"num_hidden_layers", 2},
                    {"num_attention_heads", 2}, {"intermediate_size", 12}, {"vocab_size", 11}};
const Json kLlama = {{"model_type", "llama"},   {"hidden_size", 8},
                     {"num_hidden_layers", 2},  {"num_attention_heads", 4},
                     {"intermediate_size", 12}, {"vocab_size", 11}};
const Json kGemma4Text = {{"model_type", "gemma4_text"},
                          {"hidden_size", 8},
                          {"num_hidden_layers", 2},
                          {"num_attention_heads", 4},
                          {"num_key_value_heads", 2},
                          {"head_dim", 4},
                          {"global_head_dim", 6},
                          {"intermediate_size", 12},
                          {"vocab_size", 11},
                          {"layer_types", {"sliding_attention", "full_attention"}},
                          {"hidden_size_per_layer_input", 0}};
const Json kGemma4Tower = {{"model_type", "gemma4_vision"}, {"hidden_size", 10},
                           {"num_hidden_layers", 3},        {"num_attention_heads", 2},
                           {"num_key_value_heads", 1},      {"head_dim", 8},
                           {"intermediate_size", 9},        {"patch_size", 2},
                           {"position_embedding_size", 7},  {"pooling_kernel_size", 2}};
const Json kGemma4 = {
    {"model_type", "gemma4"}, {"text_config", kGemma4Text}, {"vision_config", kGemma4Tower}};

/// kGemma4 with some keys of its text or its tower changed.
Json gemma4(const Json& text, const Json& tower = Json::object()) {
  Json config = kGemma4;
  config["text_config"].update(text);
  config["vision_config"].update(tower);
  return config;
}

const Json kDinov2 = {{"model_type", "dinov2"},
                      {"hidden_size", 8},
                      {"num_hidden_layers", 2},
                      {"num_attention_heads", 2},
                      {"image_size", 28}};
const Json kVit = {{"model_type", "vit"},      {"hidden_size", 8},        {"num_hidden_layers", 2},
                   {"num_attention_heads", 2}, {"intermediate_size", 12}, {"image_size", 32}};
const Json kClip = {
    {"model_type", "clip_vision_model"}, {"hidden_size", 8},        {"num_hidden_layers", 2},
    {"num_attention_heads", 2},          {"intermediate_size", 12}, {"image_size", 64}};
const Json kVjepa2 = {{"model_type", "vjepa2"},        {"hidden_size", 8},
                      {"num_hidden_layers", 2},        {"num_attention_heads", 2},
                      {"pred_hidden_size", 6},         {"crop_size", 32},
                      {"pred_num_attention_heads", 1}, {"pred_num_hidden_layers", 3}};

TEST(FamiliesTest, DescribesTheNormsOfWhatItDoesNotRun) {
  const Architecture yarn =
      describe(kLlama, {{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}}});
  ASSERT_EQ(yarn.not_run.size(), 1U);
  EXPECT_TRUE(contains(yarn.not_run[0], "model/config.json: rope_scaling.type is 'yarn'"));
  EXPECT_EQ(norm_sites(yarn, nullptr).size(), norm_sites(describe(kLlama), nullptr).size());
  EXPECT_TRUE(describe(kLlama).not_run.empty());
}

TEST(FamiliesTest, ScalesTheScoresOfEachBlockByItsNumberWhereGpt2Wants) {
  const Architecture plain = describe(kGpt2),
                     scaled = describe(kGpt2, {{"scale_attn_by_inverse_layer_idx", true}});
  ASSERT_GE(plain.n_blocks, 2);
  for (std::int64_t block = 0; block < plain.n_blocks; ++block)
    EXPECT_EQ(scaled.block(block).attention.scale,
              plain.block(block).attention.scale / static_cast<double>(block + 1));
}

TEST(FamiliesTest, TakesThePictureTowerOfAWholeClip) {
  const Architecture tower = describe(kClip);
  const Architecture both =
      describe({{"model_type", "clip"}, {"vision_config", kClip}, {"text_config", Json::object()}});
  EXPECT_EQ(both.n_blocks, tower.n_blocks);
  EXPECT_EQ(both.patches->projection.weights[0].name, tower.patches->projection.weights[0].name);
  EXPECT_TRUE(contains(both.notes.back(), "text tower"));
  EXPECT_FALSE(both.left_out.empty());
}

TEST(FamiliesTest, DescribesTheLeastConfigurationOfEach) {
  Json registers = kDinov2;
  registers["model_type"] = "dinov2_with_registers";
  const auto as = [](const char* type, const Json& changes = Json::object()) {
    Json config = kLlama;
    config.update({{"model_type", type}});
    config.update(changes);
    return config;
  };
  const std::vector<Json> text = {kGpt2,
                                  kBert,
                                  kLlama,
                                  kGemma4,
                                  kGemma4Text,
                                  as("bloom"),
                                  as("cohere"),
                                  as("falcon"),
                                  as("gpt_neox", {{"rotary_pct", 1.0}}),
                                  as("olmo"),
                                  as("opt", {{"ffn_dim", 12}}),
                                  as("phi", {{"partial_rotary_factor", 1.0}})};
  const Json towers = {{"model_type", "clip"}, {"vision_config", kClip}};
  const std::vector<Json> pixels = {kDinov2, registers, kVit, kClip, towers, kVjepa2};
  EXPECT_EQ(families().size(), text.size() + pixels.size() + 9)
      << "a family was added: give it a configuration here, or in llama_kin_test.cpp";
  for (const auto* kind : {&text, &pixels})
    for (const Json& config : *kind) {
      const Architecture a = describe(config);
      EXPECT_EQ(a.family, config.at("model_type"));
      EXPECT_EQ(a.hidden_size, 8);
      EXPECT_EQ(a.n_blocks, 2);
      EXPECT_EQ(a.tokens.has_value(), kind == &text);
      EXPECT_EQ(a.patches.has_value(), kind == &pixels);
      EXPECT_EQ(a.vocab_size, kind == &text ? 11 : 0);
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
      {kGpt2, {{"activation_function", "mish"}}, "activation_function is 'mish'"},
      {kBert, {{"is_decoder", true}}, "is_decoder"},
      {kBert, {{"add_cross_attention", true}}, "add_cross_attention"},
      {kBert, {{"position_embedding_type", "relative_key"}}, "position_embedding_type"},
      {kBert, {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {kLlama, {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {kLlama,
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}},
       "rope_scaling.rope_type is 'yarn'"},
      {kLlama,
       {{"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}}},
       "rope_scaling.type is 'dynamic'"},
      {kLlama,
       {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}},
       "rope_parameters.partial_rotary_factor"},
      {kLlama, {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor is 0.5"},
      {kDinov2, {{"image_size", {28, 42}}}, "image_size is [28,42]"},
      {kVit, {{"patch_size", {16, 8}}}, "patch_size is [16,8]"},
      {kClip, {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {kVjepa2,
       {{"architectures", {"VJEPA2ForVideoClassification"}}},
       "VJEPA2ForVideoClassification"},
      {kGemma4, {{"audio_config", {{"hidden_size", 8}}}}, "audio_config"},
      {kGemma4, gemma4({{"hidden_size_per_layer_input", 256}}),
       "text_config.hidden_size_per_layer_input is 256"},
      {kGemma4, gemma4({{"hidden_size_per_layer_input", nullptr}}),
       "hidden_size_per_layer_input is missing, which means 256"},
      {kGemma4, gemma4(Json::object(), {{"use_clipped_linears", true}}),
       "vision_config.use_clipped_linears"},
      {kGemma4, gemma4(Json::object(), {{"rope_parameters", {{"rope_type", "linear"}}}}),
       "vision_config.rope_parameters.rope_type is 'linear'"},
      {kGemma4, gemma4({{"model_type", "llama"}}), "text_config.model_type"},
      {kGemma4Text, {{"num_kv_shared_layers", 1}}, "num_kv_shared_layers is 1"},
      {kGemma4Text, {{"enable_moe_block", true}}, "enable_moe_block"},
      {kGemma4Text,
       {{"use_bidirectional_attention", "all"}},
       "use_bidirectional_attention is 'all'"},
      {kGemma4Text,
       {{"layer_types", {"full_attention", "linear_attention"}}},
       "layer_types holds \"linear_attention\""},
      {kGemma4Text,
       {{"per_layer_config", {{"1", {{"num_attention_heads", 2}}}}}},
       "per_layer_config.1 sets num_attention_heads"},
      {kGemma4Text,
       {{"rope_parameters",
         {{"sliding_attention", {{"rope_type", "yarn"}}}, {"full_attention", Json::object()}}}},
       "rope_parameters.sliding_attention.rope_type is 'yarn'"},
  };
  for (const auto& c : kCases) {
    const std::string message = refusal(c.config, c.changes);
    EXPECT_TRUE(contains(message, "model/config.json: "));
    EXPECT_TRUE(contains(message, c.named));
  }
}

TEST(FamiliesTest, RefuseSizesThatContradictEachOther) {
  for (const auto& [config, key] : {std::pair{kGpt2, "n_head"},
                                    {kBert, "num_attention_heads"},
                                    {kLlama, "num_attention_heads"},
                                    {kDinov2, "num_attention_heads"},
                                    {kVit, "num_attention_heads"},
                                    {kClip, "num_attention_heads"},
                                    {kVjepa2, "num_attention_heads"}}) {
    const std::string message = refusal(config, {{key, 3}}, ExitCode::malformed);
    EXPECT_TRUE(contains(message, " 8 is not a multiple of "));
    EXPECT_TRUE(contains(message, std::string(key) + " 3"));
  }
  EXPECT_TRUE(contains(refusal(kLlama, {{"num_key_value_heads", 3}}, ExitCode::malformed),
                       "num_key_value_heads 3"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"head_dim", 7}}, ExitCode::malformed), "head_dim 7"));
  EXPECT_TRUE(contains(refusal(kVjepa2, {{"pred_num_attention_heads", 4}}, ExitCode::malformed),
                       "pred_num_attention_heads 4"));
  EXPECT_TRUE(contains(refusal(kVit, {{"image_size", 15}}, ExitCode::malformed),
                       "image_size 15 is below patch_size 16"));
  EXPECT_TRUE(contains(refusal(kVjepa2, {{"crop_size", 15}}, ExitCode::malformed),
                       "crop_size 15 is below patch_size 16"));
}

TEST(FamiliesTest, RefuseNumbersThatNoModelHas) {
  EXPECT_TRUE(contains(refusal(kGpt2, {{"layer_norm_epsilon", -1e-5}}, ExitCode::malformed),
                       "layer_norm_epsilon"));
  EXPECT_TRUE(contains(refusal(kBert, {{"layer_norm_eps", -1e-12}}, ExitCode::malformed),
                       "layer_norm_eps"));
  EXPECT_TRUE(
      contains(refusal(kLlama, {{"rms_norm_eps", -1e-6}}, ExitCode::malformed), "rms_norm_eps"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"initializer_range", -0.02}}, ExitCode::malformed),
                       "initializer_range"));
  EXPECT_TRUE(contains(refusal(kLlama, {{"rope_theta", 0}}, ExitCode::malformed), "rope_theta"));
  EXPECT_TRUE(
      contains(refusal(kLlama, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 0.0}}}},
                       ExitCode::malformed),
               "rope_scaling.factor"));
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 4.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  EXPECT_TRUE(contains(refusal(kLlama, {{"rope_scaling", llama3}}, ExitCode::malformed),
                       "low_freq_factor 4 must be below"));
}

TEST(FamiliesTest, RefuseSizesWhoseProductsOverflow) {
  EXPECT_TRUE(contains(refusal(kGpt2, {{"n_embd", 9'000'000'000'000'000'000}}, ExitCode::malformed),
                       "n_embd"));
  EXPECT_TRUE(contains(refusal(kBert, {{"vocab_size", std::int64_t{1} << 33}}, ExitCode::malformed),
                       "vocab_size"));
  EXPECT_TRUE(contains(refusal(kDinov2, {{"mlp_ratio", 1e9}}, ExitCode::malformed),
                       "mlp_ratio 1000000000 times the width 8"));
  // Each in its bounds, together beyond any count.
  const Json huge = {{"hidden_size", kLargestSize},
                     {"num_attention_heads", kLargestSize},
                     {"head_dim", kLargestSize}};
  EXPECT_TRUE(
      contains(refusal(kLlama, huge, ExitCode::malformed), "more than 2^63 - 1 parameters"));
  EXPECT_TRUE(contains(
      refusal(kGpt2, {{"n_embd", kLargestSize}, {"n_layer", kLargestSize}}, ExitCode::malformed),
      "model/config.json"));
}

// Blocks and experts are described one by one: a damaged count must end in a message, not in the
// machine's memory.
TEST(FamiliesTest, RefuseCountsThatWouldFillTheMemory) {
  constexpr int kAbsurd = 100'000'000;
  Json bloom = kLlama, mixtral = kLlama, qwen3_moe = kLlama, cohere = kLlama;
  bloom["model_type"] = "bloom";
  mixtral.update({{"model_type", "mixtral"},
                  {"num_key_value_heads", 2},
                  {"num_local_experts", 4},
                  {"num_experts_per_tok", 2}});
  qwen3_moe.update({{"model_type", "qwen3_moe"}, {"num_key_value_heads", 2}, {"head_dim", 2}});
  cohere.update({{"model_type", "cohere"}, {"use_qk_norm", true}, {"head_dim", 2}});
  for (const auto& [config, key] : {std::pair{kGpt2, "n_layer"},
                                    {kBert, "num_hidden_layers"},
                                    {kLlama, "num_hidden_layers"},
                                    {bloom, "num_hidden_layers"},
                                    {kGemma4Text, "num_hidden_layers"},
                                    {kVit, "num_hidden_layers"},
                                    {kVjepa2, "pred_num_hidden_layers"},
                                    {mixtral, "num_local_experts"},
                                    {qwen3_moe, "num_experts"}}) {
    const std::string message = refusal(config, {{key, kAbsurd}}, ExitCode::malformed);
    EXPECT_TRUE(contains(message, std::string("'") + key + "' is 100000000"));
    EXPECT_TRUE(contains(message, "from 1 to 10000"));
  }
  EXPECT_TRUE(contains(refusal(gemma4(Json::object(), {{"num_hidden_layers", kAbsurd}}),
                               Json::object(), ExitCode::malformed),
                       "'vision_config.num_hidden_layers' is 100000000"));
  // Each in its bounds, together beyond any model.
  EXPECT_TRUE(
      contains(refusal(mixtral, {{"num_hidden_layers", 10000}, {"num_local_experts", 10000}},
                       ExitCode::malformed),
               "10000 blocks make 100020000 norms and experts"));
  EXPECT_TRUE(
      contains(refusal(cohere, {{"num_attention_heads", 1 << 20}, {"num_key_value_heads", 1 << 20}},
                       ExitCode::malformed),
               "norms and experts, expected at most 500000"));
}

TEST(FamiliesTest, ReadTheRopeSettingsOfOldAndNewConfigurations) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2.5}};
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Rope rope =
        *describe(kLlama, {{key, linear}, {"rope_theta", 5e5}}).block(0).attention.rope;
    EXPECT_EQ(rope.scaling, Rope::Scaling::linear);
    EXPECT_EQ(rope.factor, 2.5);
    EXPECT_EQ(rope.theta, 5e5);
    EXPECT_EQ(rope.rotated_dims, 2);
  }
  EXPECT_EQ(
      describe(kLlama, {{"rope_parameters", {{"rope_theta", 7e4}}}}).block(0).attention.rope->theta,
      7e4);
  EXPECT_EQ(describe(kLlama).block(0).attention.rope->theta, 1e4);
  // As transformers: the old key wins where a file has both, and the table's length is the original
  // one where none is given.
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0}};
  const Json both = {
      {"rope_scaling", llama3}, {"rope_parameters", linear}, {"max_position_embeddings", 48}};
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
  EXPECT_TRUE(describe(kVit).pooler);
  const Architecture classifier =
      describe(kVit, {{"architectures", {"ViTForImageClassification"}},
                      {"id2label", {{"0", "a"}, {"1", "b"}, {"2", "c"}}}});
  EXPECT_FALSE(classifier.pooler);
  EXPECT_EQ(classifier.head->decoder.outputs, 3);
  EXPECT_FALSE(describe(kClip).pooler);
  EXPECT_TRUE(describe(kClip, {{"architectures", {"CLIPVisionModelWithProjection"}}}).pooler);
}

TEST(FamiliesTest, GiveGemma4sFullBlocksHeadsOfTheirOwn) {
  const Json keys_as_values = {{"attention_k_eq_v", true},
                               {"num_global_key_value_heads", 1},
                               {"num_hidden_layers", 12},
                               {"layer_types", nullptr}};
  const Architecture a = describe(kGemma4Text, keys_as_values);
  ASSERT_EQ(a.block_kinds.size(), 2u);
  for (std::int64_t i = 0; i < a.n_blocks; ++i) {
    const AttentionSpec& attention = a.block(i).attention;
    const bool full = i % 6 == 5;
    EXPECT_EQ(attention.head_dim, full ? 6 : 4) << i;
    EXPECT_EQ(attention.n_kv_heads, full ? 1 : 2) << i;
    EXPECT_EQ(attention.values_are_keys, full) << i;
    EXPECT_EQ(attention.qkv.outputs, full ? 4 * 6 + 6 : 4 * 4 + 2 * 2 * 4) << i;
    EXPECT_EQ(attention.window, full ? 0 : 512) << i;
    EXPECT_EQ(attention.rope->theta, full ? 1e6 : 1e4) << i;
  }
  EXPECT_EQ(a.block(5).attention.rope->scaling, Rope::Scaling::proportional);
  EXPECT_EQ(a.block(5).attention.rope->turning_pairs, 0)
      << "a quarter of 6 dimensions is no whole pair";
  // Keys that serve as values are what num_global_key_value_heads counts; without them it says
  // nothing.
  EXPECT_EQ(
      describe(kGemma4Text, {{"num_global_key_value_heads", 1}}).block(1).attention.n_kv_heads, 2);
  // The newer way to write the same.
  const Json per_layer = {{"per_layer_config",
                           {{"05", {{"head_dim", 6}, {"num_key_value_heads", 1}}},
                            {"11", {{"head_dim", 6}, {"num_key_value_heads", 1}}}}}};
  Json newer = keys_as_values;
  newer.update(per_layer);
  newer["global_head_dim"] = 99;
  EXPECT_EQ(count_parameters(describe(kGemma4Text, newer)), count_parameters(a));
  EXPECT_EQ(describe(kGemma4Text, newer).kind_of, a.kind_of);
  EXPECT_EQ(describe(kGemma4Text, {{"layer_types", {"full_attention", "sliding_attention"}}})
                .block_kinds.size(),
            1u)
      << "the last block is full, whatever is written";
}

TEST(FamiliesTest, RefuseAGemma4ThatContradictsItself) {
  EXPECT_TRUE(
      contains(refusal(kGemma4Text, {{"layer_types", {"full_attention"}}}, ExitCode::malformed),
               "lists 1 blocks"));
  EXPECT_TRUE(contains(refusal(kGemma4Text, {{"num_key_value_heads", 3}}, ExitCode::malformed),
                       "num_key_value_heads 3"));
  EXPECT_TRUE(contains(refusal(kGemma4Text, {{"head_dim", 5}}, ExitCode::malformed), "head_dim 5"));
  EXPECT_TRUE(contains(
      refusal(kGemma4Text, {{"per_layer_config", {{"2", Json::object()}}}}, ExitCode::malformed),
      "expected a block from 0 to 1"));
  EXPECT_TRUE(
      contains(refusal(kGemma4, gemma4(Json::object(), {{"head_dim", 6}}), ExitCode::malformed),
               "head_dim 6"));
}

TEST(FamiliesTest, CountTheParametersOfGemma4) {
  // The released 31 billion parameters; layer scalars and the tower's standardisation are no
  // parameters.
  const Json text = {{"model_type", "gemma4_text"},
                     {"attention_k_eq_v", true},
                     {"final_logit_softcapping", 30.0},
                     {"global_head_dim", 512},
                     {"head_dim", 256},
                     {"hidden_size", 5376},
                     {"hidden_size_per_layer_input", 0},
                     {"intermediate_size", 21504},
                     {"num_attention_heads", 32},
                     {"num_global_key_value_heads", 4},
                     {"num_hidden_layers", 60},
                     {"num_key_value_heads", 16},
                     {"num_kv_shared_layers", 0},
                     {"sliding_window", 1024},
                     {"use_bidirectional_attention", "vision"},
                     {"vocab_size", 262144}};
  const Json tower = {{"model_type", "gemma4_vision"},
                      {"head_dim", 72},
                      {"hidden_size", 1152},
                      {"intermediate_size", 4304},
                      {"num_attention_heads", 16},
                      {"num_hidden_layers", 27},
                      {"num_key_value_heads", 16},
                      {"patch_size", 16},
                      {"pooling_kernel_size", 3},
                      {"position_embedding_size", 10240},
                      {"standardize", true},
                      {"rope_parameters", {{"rope_theta", 100.0}, {"rope_type", "default"}}}};
  const Json whole = {
      {"model_type", "gemma4"},      {"architectures", {"Gemma4ForConditionalGeneration"}},
      {"tie_word_embeddings", true}, {"audio_config", nullptr},
      {"text_config", text},         {"vision_config", tower}};
  EXPECT_EQ(count_parameters(describe(whole)), 31'273'086'512);
  EXPECT_EQ(count_parameters(describe(whole, {{"vision_config", nullptr}})), 30'697'345'280);
  EXPECT_EQ(count_parameters(describe(text)), 30'697'345'280);
  EXPECT_EQ(describe(whole).head->soft_cap, 30.0);
  EXPECT_TRUE(describe(whole).block(0).attention.joins_groups);
  EXPECT_FALSE(describe(whole).block(5).attention.joins_groups) << "full blocks stay causal";
}

TEST(FamiliesTest, CountTiedWeightsOnce) {
  const std::int64_t tied = count_parameters(describe(kGpt2));
  EXPECT_EQ(count_parameters(describe(kGpt2, {{"tie_word_embeddings", false}})) - tied, 11 * 8);
  // Embeddings, then per block two norms, q|k|v and out, the MLP of width 4 d, all with biases,
  // then the final norm.
  EXPECT_EQ(tied, 11 * 8 + 16 * 8 +
                      2 * (2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8)) +
                      16);
}

// The roster's counts, and those of transformers' classes.
TEST(FamiliesTest, CountTheParametersOfModelsThatReadPixels) {
  const Json giant = {{"model_type", "dinov2"},  {"hidden_size", 1536},
                      {"num_hidden_layers", 40}, {"num_attention_heads", 24},
                      {"use_swiglu_ffn", true},  {"image_size", 518},
                      {"patch_size", 14},        {"mlp_ratio", 4}};
  EXPECT_EQ(count_parameters(describe(giant)), 1'136'480'768);
  EXPECT_EQ(count_parameters(describe({{"model_type", "vjepa2"}})), 325'971'328);
  EXPECT_EQ(count_parameters(describe({{"model_type", "vit"}})), 86'389'248);
  EXPECT_EQ(count_parameters(describe({{"model_type", "vit"},
                                       {"architectures", {"ViTForImageClassification"}},
                                       {"num_labels", 1000}})),
            86'567'656);
  EXPECT_EQ(count_parameters(describe({{"model_type", "clip_vision_model"}})), 87'456'000);
  EXPECT_EQ(count_parameters(describe({{"model_type", "dinov2_with_registers"}})), 85'820'928);
}

TEST(FamiliesTest, DescribeThePixelsThatAModelReads) {
  const PatchInput dinov2 = *describe(kDinov2, {{"image_size", {28, 28}}}).patches;
  EXPECT_EQ(dinov2.rows(), 2);
  EXPECT_EQ(dinov2.columns(), 2);
  EXPECT_EQ(dinov2.frames, 0);
  EXPECT_EQ(dinov2.projection.weights[0].shape, (std::vector<std::int64_t>{8, 3, 14, 14}));
  EXPECT_EQ(dinov2.positions->shape, (std::vector<std::int64_t>{1, 5, 8}));
  const Architecture vjepa2 = describe(kVjepa2);
  EXPECT_EQ(vjepa2.patches->projection.weights[0].shape,
            (std::vector<std::int64_t>{8, 3, 2, 16, 16}));
  EXPECT_EQ(vjepa2.patches->projection.inputs, 3 * 2 * 16 * 16);
  EXPECT_EQ(vjepa2.predictor->stack.n_blocks, 3);
  EXPECT_EQ(vjepa2.predictor->stack.block(0).attention.rope->axes, 3);
  EXPECT_EQ(vjepa2.predictor->stack.block(0).attention.rope->rotated_dims, 2) << "a third of 6";
}

}  // namespace
}  // namespace deadray::test
