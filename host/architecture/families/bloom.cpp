#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// BLOOM: a LayerNorm on the embeddings, whose output is the stream; ALiBi instead of positions;
// pre-LN blocks of width 4 d.
Architecture describe_bloom(const Config& config) {
  config.require("apply_residual_connection_post_layernorm", false,
                 "residuals taken before the norms");
  const std::int64_t d = integer_at_any(config, {"n_embed", "hidden_size"}),
                     n_blocks = config.count(config.has("num_hidden_layers") ? "num_hidden_layers"
                                                                             : "n_layer");
  const std::int64_t n_heads = integer_at_any(config, {"num_attention_heads", "n_head"}),
                     vocab = config.integer("vocab_size");
  const std::int64_t head_dim = divide(config, "hidden_size", d, "n_head", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_epsilon", 1e-5);
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps, true, 0.0};
  };

  Architecture a;
  a.family = "bloom";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"transformer.", ""};
  a.tokens.emplace();
  a.tokens->table = {"word_embeddings.weight", {vocab, d}, {Init::Kind::normal, deviation}};
  a.input_norm = norm("word_embeddings_layernorm");
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::pre;
  block.attention_norm = norm("h.{}.input_layernorm");
  block.mlp_norm = norm("h.{}.post_attention_layernorm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.alibi = Alibi{};
  attention.packing = Packing::groups;
  attention.qkv = linear({{"h.{}.self_attention.query_key_value", 3 * d}}, d, true, deviation);
  attention.out = linear({{"h.{}.self_attention.dense", d}}, d, true, deviation);
  block.mlp.activation = Activation::gelu_bloom;
  block.mlp.in = linear({{"h.{}.mlp.dense_h_to_4h", 4 * d}}, d, true, deviation);
  block.mlp.out = linear({{"h.{}.mlp.dense_4h_to_h", d}}, 4 * d, true, deviation);
  a.final_norm = norm("ln_f");
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", true)};
  return a;
}

}  // namespace deadray
