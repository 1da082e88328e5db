#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogue.h"
#include "tests/support/errors.h"

// The decoders with LayerNorms: gpt_neox, opt, bloom, falcon, phi, cohere, olmo.
namespace deadray::test {
namespace {

using Json = nlohmann::json;

const Json kSizes = {
    {"hidden_size", 8}, {"num_hidden_layers", 2}, {"num_attention_heads", 2}, {"vocab_size", 11}};

/// The architecture of a least configuration of `family` with some keys changed.
Architecture describe(const char* family, const Json& changes = Json::object()) {
  Json config = kSizes;
  config.update(
      {{"model_type", family}, {"intermediate_size", 12}, {"ffn_dim", 12}, {"rotary_pct", 0.5}});
  config.update(changes);
  return describe_architecture(Config::parse(config.dump(), "model/config.json"));
}

std::string refusal(const char* family, const Json& changes,
                    ExitCode code = ExitCode::unsupported) {
  return message_of(code, [&] { require_runnable(describe(family, changes)); });
}

const AttentionSpec& attention_of(const Architecture& a) { return a.block(0).attention; }

TEST(LayerNormFamiliesTest, RefuseByKeyWhatTheExecutorDoesNotRun) {
  const struct {
    const char* family;
    Json changes;
    const char* named;
  } kCases[] = {
      {"gpt_neox", {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {"gpt_neox",
       {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}},
       "rope_scaling.type is 'dynamic'"},
      {"bloom",
       {{"apply_residual_connection_post_layernorm", true}},
       "apply_residual_connection_post_layernorm"},
      {"opt", {{"activation_function", "mish"}}, "activation_function is 'mish'"},
      {"falcon", {{"activation", "mish"}}, "activation is 'mish'"},
      {"falcon", {{"new_decoder_architecture", true}, {"parallel_attn", false}}, "parallel_attn"},
      {"falcon", {{"num_ln_in_parallel_attn", 2}}, "num_ln_in_parallel_attn is 2"},
      {"falcon",
       {{"new_decoder_architecture", true}, {"num_ln_in_parallel_attn", 3}},
       "num_ln_in_parallel_attn is 3"},
      {"falcon", {{"multi_query", false}, {"num_kv_heads", 1}}, "num_kv_heads is 1"},
      {"falcon",
       {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}},
       "rope_parameters.partial_rotary_factor"},
      {"phi", {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {"phi", {{"head_dim", 6}}, "head_dim is 6"},
      {"cohere", {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
      {"olmo", {{"hidden_act", "mish"}}, "hidden_act is 'mish'"},
  };
  for (const auto& c : kCases) {
    const std::string message = refusal(c.family, c.changes);
    EXPECT_TRUE(contains(message, "model/config.json: "));
    EXPECT_TRUE(contains(message, c.named)) << c.family;
  }
}

TEST(LayerNormFamiliesTest, RefuseSizesThatContradictEachOther) {
  for (const char* family : {"gpt_neox", "opt", "bloom", "falcon", "phi", "cohere", "olmo"}) {
    EXPECT_TRUE(contains(refusal(family, {{"num_attention_heads", 3}}, ExitCode::malformed),
                         " 8 is not a multiple of "))
        << family;
    EXPECT_TRUE(contains(refusal(family, {{"hidden_size", nullptr}}, ExitCode::malformed),
                         "'hidden_size' is missing"))
        << family;
  }
  for (const char* family : {"phi", "cohere", "olmo"})
    EXPECT_TRUE(contains(refusal(family, {{"num_key_value_heads", 3}}, ExitCode::malformed),
                         "num_key_value_heads 3"))
        << family;
  EXPECT_TRUE(contains(refusal("gpt_neox", {{"rotary_pct", 0.25}}, ExitCode::malformed),
                       "rotary_pct 0.25 of 4 dimensions"));
  EXPECT_TRUE(contains(refusal("gpt_neox", {{"rotary_pct", 1.5}}, ExitCode::malformed),
                       "an even number from 2 to 4"));
  EXPECT_TRUE(contains(refusal("phi", {{"partial_rotary_factor", 0.75}}, ExitCode::malformed),
                       "partial_rotary_factor 0.75"));
  EXPECT_TRUE(
      contains(refusal("falcon", {{"hidden_size", 10}}, ExitCode::malformed), "head_dim 5"));
}

TEST(LayerNormFamiliesTest, ReadRotaryFractionsUnderOldAndNewKeys) {
  const Json wide = {{"hidden_size", 64}};  // heads of 32
  const auto rope = [&](const char* family, Json changes) {
    changes.update(wide);
    return *attention_of(describe(family, changes)).rope;
  };
  EXPECT_EQ(rope("gpt_neox", {{"rotary_pct", nullptr}}).rotated_dims, 8)
      << "a quarter where nothing is said";
  EXPECT_EQ(rope("gpt_neox", {{"rotary_pct", 1.0}, {"rotary_emb_base", 500}}).rotated_dims, 32);
  EXPECT_EQ(rope("gpt_neox", {{"rotary_emb_base", 500}}).theta, 500.0);
  EXPECT_EQ(rope("gpt_neox",
                 {{"rope_parameters", {{"rope_theta", 70.0}, {"partial_rotary_factor", 0.5}}}})
                .rotated_dims,
            16);
  EXPECT_EQ(rope("phi", {}).rotated_dims, 16) << "half where nothing is said";
  EXPECT_EQ(rope("phi", {{"partial_rotary_factor", 0.4}}).rotated_dims, 12) << "int(12.8)";
  EXPECT_EQ(rope("phi", {{"partial_rotary_factor", 0.4},
                         {"rope_parameters", {{"partial_rotary_factor", 0.25}}}})
                .rotated_dims,
            8);
  EXPECT_EQ(rope("cohere", {}).theta, 500000.0);
  EXPECT_EQ(rope("cohere", {}).pairing, Rope::Pairing::interleaved);
}

TEST(LayerNormFamiliesTest, WireTheBlocksAsTheKeysSay) {
  EXPECT_EQ(describe("gpt_neox").block(0).wiring, Wiring::parallel);
  EXPECT_EQ(describe("gpt_neox", {{"use_parallel_residual", false}}).block(0).wiring, Wiring::pre);
  EXPECT_EQ(describe("opt", {{"do_layer_norm_before", false}}).block(0).wiring, Wiring::post);
  EXPECT_FALSE(describe("opt", {{"do_layer_norm_before", false}}).final_norm);
  EXPECT_FALSE(describe("opt", {{"_remove_final_layer_norm", true}}).ends_in_norm());
  EXPECT_FALSE(describe("falcon").block(0).mlp_norm) << "7b: one norm for both";
  EXPECT_EQ(attention_of(describe("falcon", {{"num_kv_heads", 2}})).n_kv_heads, 1)
      << "multi_query decides, whatever a re-save says";
  const Architecture falcon40b = describe("falcon", {{"new_decoder_architecture", true}});
  EXPECT_EQ(falcon40b.block(0).attention_norm.name, "h.{}.ln_attn");
  EXPECT_EQ(falcon40b.block(0).mlp_norm->name, "h.{}.ln_mlp");
  EXPECT_EQ(attention_of(falcon40b).n_kv_heads, 2);
  EXPECT_EQ(describe("falcon", {{"parallel_attn", false}, {"alibi", true}}).block(0).wiring,
            Wiring::pre);
  EXPECT_TRUE(attention_of(describe("falcon", {{"alibi", true}})).alibi->scaled);
  EXPECT_FALSE(attention_of(describe("bloom")).alibi->scaled);
  EXPECT_EQ(attention_of(describe("cohere", {{"use_qk_norm", true}})).query_norm->rows, 2);
  EXPECT_EQ(describe("cohere", {{"logit_scale", 0.5}}).head->scale, 0.5);
}

TEST(LayerNormFamiliesTest, ReadSizesUnderBothOfTheirNames) {
  const Architecture bloom = describe("bloom", {{"n_embed", 24},
                                                {"num_hidden_layers", nullptr},
                                                {"n_layer", 3},
                                                {"num_attention_heads", nullptr},
                                                {"n_head", 6}});
  EXPECT_EQ(bloom.hidden_size, 24);
  EXPECT_EQ(bloom.n_blocks, 3);
  EXPECT_EQ(attention_of(bloom).n_heads, 6);
  EXPECT_EQ(describe("falcon", {{"n_embed", 24}}).hidden_size, 24);
  EXPECT_TRUE(contains(refusal("bloom", {{"num_attention_heads", nullptr}}, ExitCode::malformed),
                       "n_head"));
}

TEST(LayerNormFamiliesTest, DrawWeightsAsTheLibraryDoes) {
  // No scaling with depth, biases 0; the padding row of the embedding is 0 where the class has one.
  const struct {
    const char* family;
    Json changes;
    std::int64_t zero_row;
  } kCases[] = {
      {"gpt_neox", {{"pad_token_id", 3}}, -1},
      {"bloom", {{"pad_token_id", 3}}, -1},
      {"falcon", {{"pad_token_id", 3}}, -1},
      {"opt", {}, 1},
      {"opt", {{"pad_token_id", nullptr}}, -1},
      {"phi", {}, -1},
      {"phi", {{"pad_token_id", 3}}, 3},
      {"cohere", {}, 0},
      {"cohere", {{"pad_token_id", 3}}, 3},
      {"cohere", {{"pad_token_id", nullptr}}, -1},
      {"olmo", {}, 1},
  };
  for (const auto& c : kCases) {
    Json changes = c.changes;
    changes.update({{"initializer_range", 0.03}, {"init_std", 0.03}});
    const Architecture a = describe(c.family, changes);
    EXPECT_EQ(a.tokens->table.init.zero_row, c.zero_row) << c.family;
    EXPECT_EQ(a.tokens->table.init.deviation, 0.03) << c.family;
    for_each_linear(a.block(0), [&](const LinearSpec& map, std::int64_t) {
      for (const TensorSpec& weight : map.weights) {
        EXPECT_EQ(weight.init.kind, Init::Kind::normal) << weight.name;
        EXPECT_EQ(weight.init.deviation, 0.03) << weight.name;
      }
      for (const TensorSpec& bias : map.biases)
        EXPECT_EQ(bias.init.kind, Init::Kind::zeros) << bias.name;
    });
    EXPECT_EQ(a.head->decoder.weights[0].init.deviation, 0.03) << c.family;
  }
  EXPECT_EQ(describe("opt").tokens->positions->shape, (std::vector<std::int64_t>{2050, 8}))
      << "two rows that no position uses";
  EXPECT_EQ(describe("opt").tokens->position_offset, 2);
}

/// A published model: its configuration, the number of its parameters, and what reads its norms.
struct Published {
  const char* config;
  std::int64_t parameters;
  std::int64_t n_sites;
  const char* first_site;
  std::vector<std::string> first_readers;
  const char* final_site;
  std::vector<std::string> final_readers;
  bool tied;
};

using Names = std::vector<std::string>;

const Published kPublished[] = {
    {R"({"model_type":"gpt_neox","hidden_size":768,"num_hidden_layers":12,
         "num_attention_heads":12,"intermediate_size":3072,"vocab_size":50304,
         "architectures":["GPTNeoXForCausalLM"],"rotary_pct":0.25,"rotary_emb_base":10000,
         "use_parallel_residual":true,"tie_word_embeddings":false,
         "max_position_embeddings":2048})",
     162'322'944,
     25,
     "gpt_neox.layers.0.input_layernorm",
     {"gpt_neox.layers.0.attention.query_key_value"},
     "gpt_neox.final_layer_norm",
     {"lm_head"},
     false},
    {R"({"model_type":"gpt2","n_embd":1600,"n_layer":48,"n_head":25,"n_positions":1024,
         "vocab_size":50257,"architectures":["GPT2LMHeadModel"]})",
     1'557'611'200,
     97,
     "transformer.h.0.ln_1",
     {"transformer.h.0.attn.c_attn"},
     "transformer.ln_f",
     {"lm_head"},
     true},
    {R"({"model_type":"opt","hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,
         "ffn_dim":16384,"vocab_size":50272,"architectures":["OPTForCausalLM"],
         "max_position_embeddings":2048,"word_embed_proj_dim":4096,"do_layer_norm_before":true,
         "_remove_final_layer_norm":false,"pad_token_id":1})",
     6'658'473'984,
     65,
     "model.decoder.layers.0.self_attn_layer_norm",
     {"model.decoder.layers.0.self_attn.q_proj", "model.decoder.layers.0.self_attn.k_proj",
      "model.decoder.layers.0.self_attn.v_proj"},
     "model.decoder.final_layer_norm",
     {"lm_head"},
     true},
    {R"({"model_type":"bloom","hidden_size":4096,"n_layer":30,"n_head":32,"vocab_size":250880,
         "architectures":["BloomForCausalLM"],"n_inner":null,"offset_alibi":100,
         "pretraining_tp":1,"pad_token_id":3})",
     7'069'016'064,
     62,
     "transformer.word_embeddings_layernorm",
     {},
     "transformer.ln_f",
     {"lm_head"},
     true},
    {R"({"model_type":"falcon","hidden_size":4544,"num_hidden_layers":32,"num_attention_heads":71,
         "vocab_size":65024,"architectures":["FalconForCausalLM"],"alibi":false,"bias":false,
         "multi_query":true,"new_decoder_architecture":false,"parallel_attn":true})",
     6'921'720'704,
     33,
     "transformer.h.0.input_layernorm",
     {"transformer.h.0.self_attention.query_key_value", "transformer.h.0.mlp.dense_h_to_4h"},
     "transformer.ln_f",
     {"lm_head"},
     true},
    {R"({"model_type":"phi","hidden_size":2560,"num_hidden_layers":32,"num_attention_heads":32,
         "num_key_value_heads":32,"intermediate_size":10240,"vocab_size":51200,
         "architectures":["PhiForCausalLM"],"partial_rotary_factor":0.4,"rope_scaling":null,
         "rope_theta":10000.0,"qk_layernorm":false,"tie_word_embeddings":false})",
     2'779'683'840,
     33,
     "model.layers.0.input_layernorm",
     {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
      "model.layers.0.self_attn.v_proj", "model.layers.0.mlp.fc1"},
     "model.final_layernorm",
     {"lm_head"},
     false},
    {R"({"model_type":"cohere","hidden_size":8192,"num_hidden_layers":40,"num_attention_heads":64,
         "num_key_value_heads":64,"intermediate_size":22528,"vocab_size":256000,
         "architectures":["CohereForCausalLM"],"logit_scale":0.0625,"rope_theta":8000000.0,
         "tie_word_embeddings":true,"use_qk_norm":false,"attention_bias":false,
         "pad_token_id":0})",
     34'980'831'232,
     41,
     "model.layers.0.input_layernorm",
     {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
      "model.layers.0.self_attn.v_proj", "model.layers.0.mlp.gate_proj",
      "model.layers.0.mlp.up_proj"},
     "model.norm",
     {"lm_head"},
     true},
};

// Parameter counts as published, or counted in the library's own models of these configurations.
TEST(LayerNormFamiliesTest, CountTheParametersOfPublishedModels) {
  for (const Published& model : kPublished) {
    const Architecture a = describe_architecture(Config::parse(model.config, "config.json"));
    EXPECT_EQ(count_parameters(a), model.parameters) << a.family;
  }
}

TEST(LayerNormFamiliesTest, ListWhatReadsTheNormsOfPublishedModels) {
  const auto readers = [](const NormSite& site) {
    Names names;
    for (const Consumer& consumer : site.consumers) names.push_back(consumer.name);
    return names;
  };
  for (const Published& model : kPublished) {
    const auto sites =
        norm_sites(describe_architecture(Config::parse(model.config, "config.json")), nullptr);
    EXPECT_EQ(static_cast<std::int64_t>(sites.size()), model.n_sites) << model.final_site;
    EXPECT_EQ(sites.front().name, model.first_site);
    EXPECT_EQ(readers(sites.front()), model.first_readers) << model.first_site;
    EXPECT_EQ(sites.back().name, model.final_site);
    EXPECT_TRUE(sites.back().is_final) << model.final_site;
    EXPECT_EQ(readers(sites.back()), model.final_readers) << model.final_site;
    EXPECT_EQ(sites.back().consumers.front().tied, model.tied) << model.final_site;
    for (const NormSite& site : sites)
      EXPECT_EQ(site.feeds_residual, site.name.ends_with("word_embeddings_layernorm")) << site.name;
  }
}

}  // namespace
}  // namespace deadray::test
