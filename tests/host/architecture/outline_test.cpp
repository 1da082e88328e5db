#include "host/architecture/families/outline.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

using Json = nlohmann::json;
using Shape = std::vector<std::int64_t>;

Config config(const Json& json) { return Config::parse(json.dump(), "model/config.json"); }

const Json kUsual = {{"hidden_size", 8},         {"num_hidden_layers", 3},
                     {"num_attention_heads", 4}, {"num_key_value_heads", 2},
                     {"intermediate_size", 12},  {"vocab_size", 11}};

/// Stems of the maps that stand side by side, and the outputs of each.
std::vector<std::pair<std::string, std::int64_t>> parts_of(const LinearSpec& map) {
  std::vector<std::pair<std::string, std::int64_t>> parts;
  for (const TensorSpec& weight : map.weights) parts.emplace_back(weight.name, weight.shape[0]);
  return parts;
}
using Maps = std::vector<std::pair<std::string, std::int64_t>>;

TEST(SizesTest, ReadsTheUsualKeys) {
  const Sizes sizes = read_sizes(config(kUsual), {.kv_heads = "num_key_value_heads"});
  EXPECT_EQ(sizes.d, 8);
  EXPECT_EQ(sizes.n_blocks, 3);
  EXPECT_EQ(sizes.n_heads, 4);
  EXPECT_EQ(sizes.n_kv_heads, 2);
  EXPECT_EQ(sizes.head_dim, 2);
  EXPECT_EQ(sizes.mlp_width, 12);
  EXPECT_EQ(sizes.vocab, 11);
  EXPECT_EQ(sizes.positions, 0) << "no key given";
  EXPECT_EQ(sizes.table_width, 8) << "that of the stream where no key is given";
}

TEST(SizesTest, FillsInWhatAFileLeavesOut) {
  Json json = kUsual;
  for (const char* key : {"num_key_value_heads", "intermediate_size"}) json[key] = nullptr;
  const Sizes sizes = read_sizes(config(json), {.kv_heads = "num_key_value_heads",
                                                .mlp_width = "intermediate_size",
                                                .mlp_ratio = 4,
                                                .positions = {"max_position_embeddings", 512},
                                                .table_width = "embedding_size",
                                                .head_dim = "head_dim"});
  EXPECT_EQ(sizes.n_kv_heads, 4);
  EXPECT_EQ(sizes.mlp_width, 32);
  EXPECT_EQ(sizes.positions, 512);
  EXPECT_EQ(sizes.table_width, 8);
  EXPECT_EQ(sizes.head_dim, 2);
  json.update({{"intermediate_size", 5}, {"head_dim", 6}});
  const SizeKeys given{.mlp_width = "intermediate_size", .mlp_ratio = 4, .head_dim = "head_dim"};
  EXPECT_EQ(read_sizes(config(json), given).mlp_width, 5);
  EXPECT_EQ(read_sizes(config(json), given).head_dim, 6);
}

TEST(SizesTest, NamesTheKeyThatIsMissing) {
  Json json = kUsual;
  json.erase("hidden_size");
  const auto complaint = [&](const SizeKeys& keys) {
    return message_of(ExitCode::malformed, [&] { read_sizes(config(json), keys); });
  };
  EXPECT_TRUE(contains(complaint({}), "'hidden_size' is missing"));
  EXPECT_TRUE(contains(complaint({.hidden = {"n_embd", "d_model"}}), "'d_model' is missing"));
  json["d_model"] = 10;
  EXPECT_TRUE(contains(complaint({.hidden = {"n_embd", "d_model"}}),
                       "d_model 10 is not a multiple of num_attention_heads 4"));
}

TEST(OutlineTest, DescribesADecoderByTheUsualNames) {
  const Parts parts{read_sizes(config(kUsual), {.kv_heads = "num_key_value_heads"})};
  const Architecture a = outline("usual", parts, {}, kNoBiases);
  EXPECT_EQ(a.family, "usual");
  EXPECT_EQ(a.tokens->table.name, "embed_tokens.weight");
  EXPECT_EQ(a.tokens->table.shape, (Shape{11, 8}));
  EXPECT_EQ(a.final_norm->name, "norm");
  const BlockSpec& block = a.block(0);
  EXPECT_EQ(block.attention_norm.name, "layers.{}.input_layernorm");
  EXPECT_EQ(block.mlp_norm->name, "layers.{}.post_attention_layernorm");
  EXPECT_EQ(parts_of(block.attention.qkv), (Maps{{"layers.{}.self_attn.q_proj.weight", 8},
                                                 {"layers.{}.self_attn.k_proj.weight", 4},
                                                 {"layers.{}.self_attn.v_proj.weight", 4}}));
  EXPECT_TRUE(block.mlp.gated);
  EXPECT_EQ(block.mlp.in.outputs, 24) << "gate and up";
  EXPECT_EQ(block.mlp.out.inputs, 12);
  for_each_linear(block, [](const LinearSpec& map, std::int64_t) {
    EXPECT_TRUE(map.biases.empty()) << map.weights[0].name;
  });
}

TEST(OutlineTest, TellsFusedMapsByTheNumberOfTheirNames) {
  const Parts parts{read_sizes(config(kUsual), {.kv_heads = "num_key_value_heads"})};
  const BlockSpec fused = block_of(
      parts, {.layer = "h.{}.", .mlp_norm = "", .qkv = {"c_attn"}, .mlp_in = {"c_fc"}}, {});
  EXPECT_EQ(parts_of(fused.attention.qkv), (Maps{{"h.{}.c_attn.weight", 8 + 4 + 4}}));
  EXPECT_EQ(fused.attention.qkv.biases.size(), 1u);
  EXPECT_FALSE(fused.mlp.gated);
  EXPECT_EQ(parts_of(fused.mlp.in), (Maps{{"h.{}.c_fc.weight", 12}}));
  EXPECT_FALSE(fused.mlp_norm);
  const BlockSpec shared = block_of(parts, {.qkv = {"q", "k"}}, {});
  EXPECT_TRUE(shared.attention.values_are_keys);
  EXPECT_EQ(shared.attention.qkv.outputs, 8 + 4);
}

TEST(OutlineTest, GivesTheHeadTheShapeOfTheTokenTable) {
  Json json = kUsual;
  json["embedding_size"] = 5;
  const Parts parts{read_sizes(config(json), {.table_width = "embedding_size"})};
  Architecture a = outline("narrow", parts, {});
  add_head(a, config(json), {.tied = true, .bias = true});
  EXPECT_EQ(a.head->decoder.weights[0].shape, (Shape{11, 5}));
  EXPECT_EQ(a.head->decoder.biases[0].shape, Shape{11});
  EXPECT_TRUE(a.head->tied);
  json["architectures"] = {"NarrowModel"};
  Architecture bare = outline("narrow", parts, {});
  add_head(bare, config(json), {});
  EXPECT_FALSE(bare.head) << "the class has none";
}

}  // namespace
}  // namespace deadray::test
