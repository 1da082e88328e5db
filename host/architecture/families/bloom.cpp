#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"

namespace deadray {

// BLOOM: a LayerNorm on the embeddings, whose output is the stream; ALiBi instead of positions;
// pre-LN blocks of width 4 d.
Architecture describe_bloom(const Config& config) {
  config.runs_only("apply_residual_connection_post_layernorm", false,
                   "residuals taken before the norms");
  const Sizes sizes = read_sizes(config, {.hidden = {"n_embed", "hidden_size"},
                                          .blocks = {"num_hidden_layers", "n_layer"},
                                          .heads = {"num_attention_heads", "n_head"},
                                          .mlp_width = {},
                                          .mlp_ratio = 4});
  const Parts parts{sizes, initializer_range(config),
                    layer_norm(config, "layer_norm_epsilon", 1e-5)};

  Architecture a = outline("bloom", parts,
                           {.prefixes = {"transformer.", ""},
                            .table = "word_embeddings",
                            .block = {.layer = "h.{}.",
                                      .qkv = {"self_attention.query_key_value"},
                                      .out = "self_attention.dense",
                                      .mlp_in = {"mlp.dense_h_to_4h"},
                                      .mlp_out = "mlp.dense_4h_to_h"},
                            .final_norm = "ln_f"});
  a.input_norm = parts.norm("word_embeddings_layernorm");
  BlockSpec& block = a.block_kinds[0];
  block.attention.alibi = Alibi{};
  block.attention.packing = Packing::groups;
  block.mlp.activation = Activation::gelu_bloom;
  add_head(a, config, {.tied = true});
  return a;
}

}  // namespace deadray
