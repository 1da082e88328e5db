#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// OPT: learned positions whose table begins two rows late. The 350m alone is post-LN, with
// embeddings narrower than its stream.
Architecture describe_opt(const Config& config) {
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     width = config.integer("ffn_dim");
  const std::int64_t vocab = config.integer("vocab_size"),
                     positions = config.integer("max_position_embeddings", 2048);
  const std::int64_t embedded = config.integer("word_embed_proj_dim", d);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const double deviation = config.non_negative("init_std", 0.02);
  const bool bias = config.flag("enable_bias", true),
             affine = config.flag("layer_norm_elementwise_affine", true);
  const bool pre_norm = config.flag("do_layer_norm_before", true);
  const auto norm = [&](std::string name) {  // torch's default eps: the configuration has none
    NormSpec spec{std::move(name), NormKind::layernorm, d, 1e-5, affine, 0.0};
    spec.has_scale = affine;
    return spec;
  };

  Architecture a;
  a.family = "opt";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.max_positions = positions;
  a.prefixes = {"model.decoder.", "decoder."};
  a.tokens.emplace();
  a.tokens->table = {"embed_tokens.weight",
                     {vocab, embedded},
                     {Init::Kind::normal, deviation, padding_row(config, 1)}};
  a.tokens->position_offset = 2;
  a.tokens->positions =
      TensorSpec{"embed_positions.weight", {positions + 2, d}, {Init::Kind::normal, deviation}};
  if (embedded != d) {
    a.tokens->projection = linear({{"project_in", d}}, embedded, false, deviation);
    a.output_projection = linear({{"project_out", embedded}}, d, false, deviation);
  }
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = pre_norm ? Wiring::pre : Wiring::post;
  block.attention_norm = norm("layers.{}.self_attn_layer_norm");
  block.mlp_norm = norm("layers.{}.final_layer_norm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::string self = "layers.{}.self_attn.";
  attention.qkv = linear({{self + "q_proj", d}, {self + "k_proj", d}, {self + "v_proj", d}}, d,
                         bias, deviation);
  attention.out = linear({{self + "out_proj", d}}, d, bias, deviation);
  block.mlp.activation = parse_activation(config, "activation_function", "relu");
  block.mlp.in = linear({{"layers.{}.fc1", width}}, d, bias, deviation);
  block.mlp.out = linear({{"layers.{}.fc2", d}}, width, bias, deviation);
  // Models fine-tuned before the norm was put in go without it.
  if (!config.flag("_remove_final_layer_norm", false) && pre_norm)
    a.final_norm = norm("final_layer_norm");
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, embedded, false, deviation),
                      config.flag("tie_word_embeddings", true)};
  return a;
}

}  // namespace deadray
