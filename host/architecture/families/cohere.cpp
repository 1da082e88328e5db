#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// Cohere (Command R): LayerNorms without shift; one feeds attention and gated MLP beside each
// other; rotary positions turn neighbours.
Architecture describe_cohere(const Config& config) {
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
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-5);
  const bool bias = config.flag("attention_bias", false);
  const auto norm = [&](std::string name, std::int64_t size) {
    NormSpec spec{std::move(name), NormKind::layernorm, size, eps, false, 0.0};
    spec.scales_in_fp32 = true;
    return spec;
  };

  Architecture a;
  a.family = "cohere";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"model.", ""};
  a.tokens.emplace();
  a.tokens->table = {
      "embed_tokens.weight", {vocab, d}, {Init::Kind::normal, deviation, padding_row(config, 0)}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::parallel;
  block.attention_norm = norm("layers.{}.input_layernorm", d);
  AttentionSpec& attention = block.attention;
  attention.n_heads = n_heads;
  attention.n_kv_heads = n_kv_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.rope = parse_rope(config, head_dim, 500000.0);
  attention.rope->pairing = Rope::Pairing::interleaved;
  const std::string self = "layers.{}.self_attn.";
  if (config.flag("use_qk_norm", false)) {  // each head has a scale of its own
    attention.query_norm = norm(self + "q_norm", head_dim);
    attention.query_norm->rows = n_heads;
    attention.key_norm = norm(self + "k_norm", head_dim);
    attention.key_norm->rows = n_kv_heads;
  }
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
  a.final_norm = norm("norm", d);
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", true),
                      config.positive("logit_scale", 0.0625)};
  return a;
}

}  // namespace deadray
