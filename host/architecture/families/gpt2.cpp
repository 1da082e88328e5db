#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// GPT-2: learned positions, pre-LN blocks, Conv1D weights stored [in, out], fused q|k|v columns,
// head tied to the embedding.
Architecture describe_gpt2(const Config& config) {
  config.require("add_cross_attention", false, "decoders without cross attention");
  config.require("scale_attn_by_inverse_layer_idx", false, "attention scaled alike in every block");
  const std::int64_t d = config.integer("n_embd"), n_blocks = config.count("n_layer"),
                     n_heads = config.integer("n_head");
  const std::int64_t vocab = config.integer("vocab_size"),
                     positions = config.integer("n_positions");
  const std::int64_t width = config.integer("n_inner", 4 * d),
                     head_dim = divide(config, "n_embd", d, "n_head", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_epsilon", 1e-5);
  // Both maps that write to the residual stream start smaller, so that its variance does not grow
  // with depth.
  const double residual_deviation = deviation / std::sqrt(2.0 * static_cast<double>(n_blocks));
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps, true, 0.0};
  };

  Architecture a;
  a.family = "gpt2";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.max_positions = positions;
  a.prefixes = {"transformer.", ""};
  a.tokens.emplace();
  a.tokens->table = {"wte.weight", {vocab, d}, {Init::Kind::normal, deviation}};
  a.tokens->positions = TensorSpec{"wpe.weight", {positions, d}, {Init::Kind::normal, deviation}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::pre;
  block.attention_norm = norm("h.{}.ln_1");
  block.mlp_norm = norm("h.{}.ln_2");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.scale = config.flag("scale_attn_weights", true)
                        ? 1.0 / std::sqrt(static_cast<double>(head_dim))
                        : 1.0;
  attention.qkv = linear({{"h.{}.attn.c_attn", 3 * d}}, d, true, deviation, Storage::in_out);
  attention.out = linear({{"h.{}.attn.c_proj", d}}, d, true, residual_deviation, Storage::in_out);
  block.mlp.activation = parse_activation(config, "activation_function", "gelu_new");
  block.mlp.in = linear({{"h.{}.mlp.c_fc", width}}, d, true, deviation, Storage::in_out);
  block.mlp.out =
      linear({{"h.{}.mlp.c_proj", d}}, width, true, residual_deviation, Storage::in_out);
  a.final_norm = norm("ln_f");
  if (names_head(config, {"LMHeadModel", "DoubleHeadsModel"}, true)) {
    const bool tied = config.flag("tie_word_embeddings", true);
    a.head = HeadSpec{{}, linear({{"/lm_head", vocab}}, d, false, deviation), tied};
  }
  return a;
}

}  // namespace deadray
