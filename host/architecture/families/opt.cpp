#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"

namespace deadray {

// OPT: learned positions, over the tokens that a mask keeps, whose table begins two rows late. The
// 350m alone is post-LN, with
// embeddings narrower than its stream.
Architecture describe_opt(const Config& config) {
  const Sizes sizes = read_sizes(config, {.mlp_width = "ffn_dim",
                                          .positions = {"max_position_embeddings", 2048},
                                          .table_width = "word_embed_proj_dim"});
  Parts parts{sizes, config.non_negative("init_std", 0.02)};
  const bool bias = config.flag("enable_bias", true);
  parts.any_norm.eps = 1e-5;  // torch's default: the configuration has none
  parts.any_norm.has_scale = config.flag("layer_norm_elementwise_affine", true);
  parts.any_norm.has_bias = parts.any_norm.has_scale;
  const bool pre_norm = config.flag("do_layer_norm_before", true);

  Architecture a = outline("opt", parts,
                           {.prefixes = {"model.decoder.", "decoder."},
                            .block = {.attention_norm = "self_attn_layer_norm",
                                      .mlp_norm = "final_layer_norm",
                                      .out = "self_attn.out_proj",
                                      .mlp_in = {"fc1"},
                                      .mlp_out = "fc2"},
                            .final_norm = "final_layer_norm"},
                           {.qkv = bias, .out = bias, .mlp = bias});
  a.tokens->table.init.zero_row = padding_row(config, 1);
  add_positions(a, parts, "embed_positions", 2);
  a.tokens->counting = Counting::attended;
  if (sizes.table_width != sizes.d) {
    a.tokens->projection = parts.linear({{"project_in", sizes.d}}, sizes.table_width, false);
    a.output_projection = parts.linear({{"project_out", sizes.table_width}}, sizes.d, false);
  }
  BlockSpec& block = a.block_kinds[0];
  block.wiring = pre_norm ? Wiring::pre : Wiring::post;
  block.mlp.activation = parse_activation(config, "activation_function", "relu");
  // Models fine-tuned before the norm was put in go without it.
  if (config.flag("_remove_final_layer_norm", false) || !pre_norm) a.final_norm.reset();
  add_head(a, config, {.tied = true});
  return a;
}

}  // namespace deadray
