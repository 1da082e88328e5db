#include <cmath>

#include "tests/support/describe.h"

// The families that are Llama with differences: host/architecture/families/llama.h.
namespace deadray::test {
namespace {

using Json = nlohmann::json;

Json least(const std::string& model_type, const Json& more = Json::object()) {
  Json config = {{"model_type", model_type}, {"hidden_size", 8},        {"num_hidden_layers", 4},
                 {"num_attention_heads", 4}, {"intermediate_size", 12}, {"num_key_value_heads", 2},
                 {"vocab_size", 11}};
  config.update(more);
  return config;
}

const Json kGemma3 = {{"model_type", "gemma3"},
                      {"text_config", least("gemma3_text")},
                      {"vision_config", Json::object()}};

std::vector<std::int64_t> windows(const Architecture& a) {
  std::vector<std::int64_t> all;
  for (std::int64_t block = 0; block < a.n_blocks; ++block)
    all.push_back(a.block(block).attention.window);
  return all;
}
using Windows = std::vector<std::int64_t>;

std::vector<std::int64_t> experts(const Architecture& a) {
  std::vector<std::int64_t> all;
  for (std::int64_t block = 0; block < a.n_blocks; ++block) {
    const auto& routing = a.block(block).mlp.routing;
    all.push_back(routing ? routing->n_experts : 0);
  }
  return all;
}

TEST(LlamaKinTest, DescribeTheLeastConfigurationOfEach) {
  for (const char* family :
       {"mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text"}) {
    const Architecture a = describe(least(family));
    EXPECT_EQ(a.family, family);
    EXPECT_EQ(a.hidden_size, 8);
    EXPECT_EQ(a.n_blocks, 4);
    EXPECT_EQ(a.vocab_size, 11);
    EXPECT_GT(count_parameters(a), 0);
    EXPECT_EQ(a.block(0).attention.n_kv_heads, 2);
  }
  const Architecture gemma3 = describe(kGemma3);
  EXPECT_EQ(gemma3.family, "gemma3");
  EXPECT_EQ(gemma3.block_kinds.size(), 1u) << "four blocks, of which the sixth would be global";
}

// Sizes as the makers publish them; the counts as transformers 5.23.0 builds the models.
TEST(LlamaKinTest, HaveAsManyParametersAsTheModelsThatPeopleRun) {
  const Json llama = {{"model_type", "llama"},     {"hidden_size", 4096},
                      {"num_hidden_layers", 32},   {"num_attention_heads", 32},
                      {"vocab_size", 128256},      {"num_key_value_heads", 8},
                      {"intermediate_size", 14336}};
  EXPECT_EQ(count_parameters(describe(llama)), 8'030'261'248);
  const Json mistral = {
      {"model_type", "mistral"}, {"vocab_size", 32768}, {"sliding_window", nullptr}};
  EXPECT_EQ(count_parameters(describe(llama, mistral)), 7'248'023'552);
  const Json qwen3 = {{"model_type", "qwen3"},
                      {"num_hidden_layers", 36},
                      {"intermediate_size", 12288},
                      {"vocab_size", 151936}};
  EXPECT_EQ(count_parameters(describe(llama, qwen3)), 8'190'735'360);
  const Json moe = {
      {"model_type", "qwen3_moe"}, {"hidden_size", 2048}, {"num_hidden_layers", 48},
      {"num_key_value_heads", 4},  {"head_dim", 128},     {"moe_intermediate_size", 768},
      {"intermediate_size", 6144}, {"num_experts", 128},  {"vocab_size", 151936}};
  EXPECT_EQ(count_parameters(describe(llama, moe)), 30'532'122'624);
}

TEST(LlamaKinTest, TellAnAbsentWindowFromNone) {
  EXPECT_EQ(windows(describe(least("mistral"))), (Windows{4096, 4096, 4096, 4096}));
  EXPECT_EQ(windows(describe(least("mistral"), {{"sliding_window", nullptr}})),
            (Windows{0, 0, 0, 0}));
  EXPECT_EQ(windows(describe(least("mistral"), {{"sliding_window", 7}})), (Windows{7, 7, 7, 7}));
  EXPECT_EQ(windows(describe(least("mixtral"))), (Windows{0, 0, 0, 0}));
  EXPECT_EQ(windows(describe(least("qwen3_moe"), {{"sliding_window", 7}})), (Windows{0, 0, 0, 0}));
  EXPECT_EQ(
      windows(describe(least("qwen3_moe"), {{"sliding_window", 7}, {"use_sliding_window", true}})),
      (Windows{7, 7, 7, 7}));
  EXPECT_TRUE(contains(refusal(least("mistral"), {{"sliding_window", 0}}, ExitCode::malformed),
                       "sliding_window"));
}

TEST(LlamaKinTest, GiveWindowsToTheBlocksThatHaveThem) {
  const Json sliding = {{"use_sliding_window", true}, {"sliding_window", 7}};
  for (const char* family : {"qwen2", "qwen3"}) {
    const Json config = least(family, sliding);
    EXPECT_EQ(windows(describe(config, {{"max_window_layers", 3}})), (Windows{0, 0, 0, 7}));
    EXPECT_EQ(windows(describe(config, {{"max_window_layers", 3}, {"use_sliding_window", false}})),
              (Windows{0, 0, 0, 0}));
    EXPECT_EQ(windows(describe(config, {{"max_window_layers", 0}})), (Windows{7, 7, 7, 7}));
    EXPECT_EQ(windows(describe(config)), (Windows{0, 0, 0, 0})) << "by default from block 28 on";
    const Json types = {"sliding_attention", "full_attention", "full_attention",
                        "sliding_attention"};
    EXPECT_EQ(windows(describe(config, {{"layer_types", types}})), (Windows{7, 0, 0, 7}));
    EXPECT_TRUE(contains(refusal(config, {{"layer_types", types}, {"use_sliding_window", false}},
                                 ExitCode::malformed),
                         "no window"));
  }
  EXPECT_EQ(windows(describe(least("gemma2"), {{"sliding_window", 7}})), (Windows{7, 0, 7, 0}));
  const Json third = {{"sliding_window", 7}, {"sliding_window_pattern", 3}};
  EXPECT_EQ(windows(describe(least("gemma3_text"), third)), (Windows{7, 7, 0, 7}));
  EXPECT_TRUE(contains(refusal(least("gemma2"), {{"sliding_window", nullptr}}, ExitCode::malformed),
                       "sliding_window"));
}

TEST(LlamaKinTest, MakeTheBlocksSparseThatAreSo) {
  const Json config = least("qwen3_moe", {{"num_experts", 9}, {"num_experts_per_tok", 3}});
  EXPECT_EQ(experts(describe(config)), (Windows{9, 9, 9, 9}));
  EXPECT_EQ(experts(describe(config, {{"decoder_sparse_step", 2}})), (Windows{0, 9, 0, 9}));
  EXPECT_EQ(experts(describe(config, {{"decoder_sparse_step", 2}, {"mlp_only_layers", {1}}})),
            (Windows{0, 0, 0, 9}));
  EXPECT_EQ(experts(describe(config, {{"mlp_only_layers", {0, 1, 2, 3}}})), (Windows{0, 0, 0, 0}));
  EXPECT_FALSE(describe(config).block(0).mlp.routing->normalises) << "the default of its class";
  EXPECT_TRUE(describe(config, {{"norm_topk_prob", true}}).block(0).mlp.routing->normalises);
  EXPECT_TRUE(contains(refusal(config, {{"num_experts_per_tok", 10}}, ExitCode::malformed),
                       "num_experts_per_tok 10 of 9"));
  EXPECT_TRUE(contains(refusal(config, {{"mlp_only_layers", "all"}}, ExitCode::malformed),
                       "mlp_only_layers"));
}

TEST(LlamaKinTest, FindAnExpertInAFusedTensor) {
  const MlpSpec mlp = describe(least("qwen3_moe"), {{"moe_intermediate_size", 5}}).block(0).mlp;
  const LinearSpec in = expert(mlp.in, 3), out = expert(mlp.out, 3);
  EXPECT_EQ(in.weights[1].name, "layers.{}.mlp.experts.3.up_proj.weight");
  EXPECT_EQ(in.weights[0].fused->first, 3 * 2 * 5 * 8);
  EXPECT_EQ(in.weights[1].fused->first, 3 * 2 * 5 * 8 + 5 * 8) << "the gate's rows come first";
  EXPECT_EQ(out.weights[0].fused->first, 3 * 8 * 5);
}

TEST(LlamaKinTest, ReadBothRotaryBasesOfGemma3) {
  const auto ropes = [](const Json& changes) {
    const Architecture a = describe(least("gemma3_text", {{"num_hidden_layers", 6}}), changes);
    return std::pair{*a.block(0).attention.rope, *a.block(5).attention.rope};
  };
  const auto [local, global] = ropes(Json::object());
  EXPECT_EQ(local.theta, 1e4);
  EXPECT_EQ(global.theta, 1e6);
  const Json linear = {{"rope_type", "linear"}, {"factor", 8.0}};
  const auto [old_local, old_global] =
      ropes({{"rope_theta", 5e5}, {"rope_local_base_freq", 3e4}, {"rope_scaling", linear}});
  EXPECT_EQ(old_local.theta, 3e4);
  EXPECT_EQ(old_local.scaling, Rope::Scaling::none);
  EXPECT_EQ(old_global.theta, 5e5);
  EXPECT_EQ(old_global.factor, 8.0);
  const auto [one_local, one_global] = ropes({{"rope_parameters", {{"full_attention", linear}}}});
  EXPECT_EQ(one_local.theta, 1e4);
  EXPECT_EQ(one_global.factor, 8.0);
  EXPECT_TRUE(
      contains(refusal(least("gemma3_text"), {{"rope_parameters", linear}}, ExitCode::malformed),
               "one set for each"));
}

TEST(LlamaKinTest, StartGemmasNormsAtOneWithNothingStored) {
  for (const char* family : {"gemma", "gemma2", "gemma3_text"}) {
    const Architecture a = describe(least(family));
    EXPECT_EQ(a.tokens->scale, std::sqrt(8.0));
    EXPECT_EQ(a.tokens->table.init.zero_row, 0);
    EXPECT_EQ(describe(least(family), {{"pad_token_id", nullptr}}).tokens->table.init.zero_row, -1);
    EXPECT_TRUE(a.head->tied);
    for_each_norm(a.block(0),
                  [](const NormSpec& norm) { EXPECT_EQ(norm.weight_offset, 1.0) << norm.name; });
  }
  EXPECT_EQ(describe(least("gemma"), {{"hidden_act", "gelu"}}).block(0).mlp.activation,
            Activation::gelu_tanh);
}

TEST(LlamaKinTest, RefuseByKeyWhatTheExecutorDoesNotRun) {
  const Json chunked = {"full_attention", "full_attention", "chunked_attention", "full_attention"};
  const Json text_cap = least("gemma3_text", {{"final_logit_softcapping", 30.0}});
  const struct {
    Json config, changes;
    const char* named;
  } kCases[] = {
      {least("mistral"), {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {least("qwen3"),
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}},
       "rope_scaling.rope_type is 'yarn'"},
      {least("qwen3"),
       {{"rope_parameters", {{"full_attention", {{"rope_theta", 5e5}}}}}},
       "rope_parameters.full_attention"},
      {least("qwen2"), {{"layer_types", chunked}}, "layer_types[2] is \"chunked_attention\""},
      {least("gemma"), {{"use_bidirectional_attention", true}}, "use_bidirectional_attention"},
      {least("gemma2"), {{"use_bidirectional_attention", true}}, "use_bidirectional_attention"},
      {least("gemma3_text"), {{"attn_logit_softcapping", 50.0}}, "attn_logit_softcapping"},
      {kGemma3, {{"text_config", text_cap}}, "text_config.final_logit_softcapping"},
      {kGemma3, {{"text_config", least("gemma2")}}, "text_config.model_type"},
  };
  for (const auto& c : kCases) {
    const std::string message = refusal(c.config, c.changes);
    EXPECT_TRUE(contains(message, "model/config.json: "));
    EXPECT_TRUE(contains(message, c.named));
  }
  EXPECT_TRUE(
      contains(refusal(least("qwen2"), {{"layer_types", {"full_attention"}}}, ExitCode::malformed),
               "4 entries"));
}

}  // namespace
}  // namespace deadray::test
