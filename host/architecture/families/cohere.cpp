#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"
#include "host/architecture/families/rope.h"

namespace deadray {

// Cohere (Command R): LayerNorms without shift; one feeds attention and gated MLP beside each
// other; rotary positions turn neighbours.
Architecture describe_cohere(const Config& config) {
  const Sizes sizes =
      read_sizes(config, {.kv_heads = "num_key_value_heads", .head_dim = "head_dim"});
  require_rotary_pairs(config, sizes.head_dim);
  Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-5)};
  parts.any_norm.has_bias = false;
  parts.any_norm.scales_in_fp32 = true;
  const bool bias = config.flag("attention_bias", false);

  Architecture a = outline("cohere", parts, {.block = {.mlp_norm = ""}},
                           {.qkv = bias, .out = bias, .mlp = false});
  a.tokens->table.init.zero_row = padding_row(config, 0);
  BlockSpec& block = a.block_kinds[0];
  block.wiring = Wiring::parallel;
  AttentionSpec& attention = block.attention;
  attention.rope = parse_rope(config, sizes.head_dim, 500000.0);
  attention.rope->pairing = Rope::Pairing::interleaved;
  if (config.flag("use_qk_norm", false)) {  // each head has a scale of its own
    attention.query_norm = parts.norm("layers.{}.self_attn.q_norm", sizes.head_dim);
    attention.query_norm->rows = sizes.n_heads;
    attention.key_norm = parts.norm("layers.{}.self_attn.k_norm", sizes.head_dim);
    attention.key_norm->rows = sizes.n_kv_heads;
  }
  block.mlp.activation = parse_activation(config, "hidden_act", "silu");
  add_head(a, config, {.tied = true});
  if (a.head) a.head->scale = config.positive("logit_scale", 0.0625);
  return a;
}

}  // namespace deadray
