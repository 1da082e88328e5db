#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"
#include "host/architecture/families/rope.h"

namespace deadray {

// GPT-NeoX: rotary positions on a part of each head, attention and MLP beside each other on the
// same stream, each behind its own norm.
Architecture describe_gpt_neox(const Config& config) {
  const Sizes sizes = read_sizes(config, {});
  const Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-5)};
  const bool bias = config.flag("attention_bias", true);

  Architecture a = outline("gpt_neox", parts,
                           {.prefixes = {"gpt_neox.", ""},
                            .table = "embed_in",
                            .block = {.qkv = {"attention.query_key_value"},
                                      .out = "attention.dense",
                                      .mlp_in = {"mlp.dense_h_to_4h"},
                                      .mlp_out = "mlp.dense_4h_to_h"},
                            .final_norm = "final_layer_norm"},
                           {.qkv = bias, .out = bias});
  a.aliases = {{"lm_head.weight", "embed_out.weight"}};
  BlockSpec& block = a.block_kinds[0];
  // Where the sublayers are parallel, mlp_norm reads the block's input too, whatever its name says.
  block.wiring = config.flag("use_parallel_residual", true) ? Wiring::parallel : Wiring::pre;
  block.attention.rope =
      parse_partial_rope(config, sizes.head_dim, {"rotary_emb_base", "rotary_pct", 0.25});
  block.attention.packing = Packing::groups;
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  add_head(a, config, {});
  return a;
}

}  // namespace deadray
