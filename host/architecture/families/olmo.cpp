#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// OLMo 1: LayerNorms that store nothing (gamma = 1, beta = 0), rotary positions, grouped queries,
// gated MLP.
Architecture describe_olmo(const Config& config) {
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     n_kv_heads = config.integer("num_key_value_heads", n_heads);
  const std::int64_t width = config.integer("intermediate_size"),
                     vocab = config.integer("vocab_size");
  divide(config, "num_attention_heads", n_heads, "num_key_value_heads", n_kv_heads);
  const std::int64_t head_dim =
      config.has("head_dim") ? config.integer("head_dim")
                             : divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  divide(config, "head_dim", head_dim, "rotary pair", 2);
  const double deviation = config.non_negative("initializer_range", 0.02);
  const bool bias = config.flag("attention_bias", false);
  const auto norm = [&](std::string name) {
    NormSpec spec{std::move(name), NormKind::layernorm, d, 1e-5, false, 0.0};
    spec.has_scale = false;
    return spec;
  };

  Architecture a;
  a.family = "olmo";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"model.", ""};
  a.tokens.emplace();
  a.tokens->table = {
      "embed_tokens.weight", {vocab, d}, {Init::Kind::normal, deviation, padding_row(config, 1)}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::pre;
  block.attention_norm = norm("layers.{}.input_layernorm");
  block.mlp_norm = norm("layers.{}.post_attention_layernorm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = n_heads;
  attention.n_kv_heads = n_kv_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.rope = parse_rope(config, head_dim, 10000.0);
  if (config.has("clip_qkv")) attention.clip = config.positive("clip_qkv");
  const std::string self = "layers.{}.self_attn.";
  attention.qkv = linear({{self + "q_proj", n_heads * head_dim},
                          {self + "k_proj", n_kv_heads * head_dim},
                          {self + "v_proj", n_kv_heads * head_dim}},
                         d, bias, deviation);
  attention.out = linear({{self + "o_proj", d}}, n_heads * head_dim, bias, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "silu");
  block.mlp.gated = true;
  block.mlp.in = linear({{"layers.{}.mlp.gate_proj", width}, {"layers.{}.mlp.up_proj", width}}, d,
                        false, deviation);
  block.mlp.out = linear({{"layers.{}.mlp.down_proj", d}}, width, false, deviation);
  a.final_norm = norm("norm");
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", false)};
  return a;
}

}  // namespace deadray
