#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"
#include "host/architecture/families/rope.h"

namespace deadray {

// OLMo 1: LayerNorms that store nothing (gamma = 1, beta = 0), rotary positions, grouped queries,
// gated MLP.
Architecture describe_olmo(const Config& config) {
  const Sizes sizes =
      read_sizes(config, {.kv_heads = "num_key_value_heads", .head_dim = "head_dim"});
  require_rotary_pairs(config, sizes.head_dim);
  Parts parts{sizes, initializer_range(config)};
  parts.any_norm.eps = 1e-5;
  parts.any_norm.has_scale = parts.any_norm.has_bias = false;
  const bool bias = config.flag("attention_bias", false);

  Architecture a = outline("olmo", parts, {}, {.qkv = bias, .out = bias, .mlp = false});
  a.tokens->table.init.zero_row = padding_row(config, 1);
  BlockSpec& block = a.block_kinds[0];
  block.attention.rope = parse_rope(config, sizes.head_dim, 10000.0);
  if (config.has("clip_qkv")) block.attention.clip = config.positive("clip_qkv");
  block.mlp.activation = parse_activation(config, "hidden_act", "silu");
  add_head(a, config, {});
  return a;
}

}  // namespace deadray
