#include <fmt/format.h>

#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// Phi: one norm feeds attention and MLP beside each other; rotary positions on a part of each head;
// a head with a bias.
Architecture describe_phi(const Config& config) {
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     n_kv_heads = config.integer("num_key_value_heads", n_heads);
  const std::int64_t width = config.integer("intermediate_size"),
                     vocab = config.integer("vocab_size");
  divide(config, "num_attention_heads", n_heads, "num_key_value_heads", n_kv_heads);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  config.require("head_dim", head_dim,
                 fmt::format("hidden_size / num_attention_heads = {}", head_dim));
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-5);
  const auto norm = [&](std::string name, std::int64_t size) {
    return NormSpec{std::move(name), NormKind::layernorm, size, eps, true, 0.0};
  };

  Architecture a;
  a.family = "phi";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"model.", ""};
  a.tokens.emplace();
  a.tokens->table = {
      "embed_tokens.weight", {vocab, d}, {Init::Kind::normal, deviation, padding_row(config, -1)}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::parallel;
  block.attention_norm = norm("layers.{}.input_layernorm", d);
  AttentionSpec& attention = block.attention;
  attention.n_heads = n_heads;
  attention.n_kv_heads = n_kv_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.rope =
      parse_partial_rope(config, head_dim, {"rope_theta", "partial_rotary_factor", 0.5});
  const std::string self = "layers.{}.self_attn.";
  if (config.flag("qk_layernorm", false)) {
    attention.query_norm = norm(self + "q_layernorm", head_dim);
    attention.key_norm = norm(self + "k_layernorm", head_dim);
  }
  attention.qkv = linear({{self + "q_proj", d},
                          {self + "k_proj", n_kv_heads * head_dim},
                          {self + "v_proj", n_kv_heads * head_dim}},
                         d, true, deviation);
  attention.out = linear({{self + "dense", d}}, d, true, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu_new");
  block.mlp.in = linear({{"layers.{}.mlp.fc1", width}}, d, true, deviation);
  block.mlp.out = linear({{"layers.{}.mlp.fc2", d}}, width, true, deviation);
  a.final_norm = norm("final_layernorm", d);
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, true, deviation),
                      config.flag("tie_word_embeddings", false)};
  return a;
}

}  // namespace deadray
