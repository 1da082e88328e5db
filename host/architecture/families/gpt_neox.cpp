#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// GPT-NeoX: rotary positions on a part of each head, attention and MLP beside each other on the
// same stream, each behind its own norm.
Architecture describe_gpt_neox(const Config& config) {
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     width = config.integer("intermediate_size");
  const std::int64_t vocab = config.integer("vocab_size"),
                     head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-5);
  const bool bias = config.flag("attention_bias", true);
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps, true, 0.0};
  };

  Architecture a;
  a.family = "gpt_neox";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"gpt_neox.", ""};
  a.aliases = {{"lm_head.weight", "embed_out.weight"}};
  a.tokens.emplace();
  a.tokens->table = {"embed_in.weight", {vocab, d}, {Init::Kind::normal, deviation}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = config.flag("use_parallel_residual", true) ? Wiring::parallel : Wiring::pre;
  block.attention_norm = norm("layers.{}.input_layernorm");
  block.mlp_norm = norm("layers.{}.post_attention_layernorm");  // of the block's input too, where
                                                                // the two sublayers are parallel
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.rope = parse_partial_rope(config, head_dim, {"rotary_emb_base", "rotary_pct", 0.25});
  attention.packing = Packing::groups;
  attention.qkv = linear({{"layers.{}.attention.query_key_value", 3 * d}}, d, bias, deviation);
  attention.out = linear({{"layers.{}.attention.dense", d}}, d, bias, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  block.mlp.in = linear({{"layers.{}.mlp.dense_h_to_4h", width}}, d, true, deviation);
  block.mlp.out = linear({{"layers.{}.mlp.dense_4h_to_h", d}}, width, true, deviation);
  a.final_norm = norm("final_layer_norm");
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", false)};
  return a;
}

}  // namespace deadray
