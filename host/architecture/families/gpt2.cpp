#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"

namespace deadray {

namespace {

/// A kind for each block: the scores of block l are divided by l + 1. `reorder_and_upcast_attn`
/// changes where that happens and in which precision, not what it is.
void scale_by_inverse_index(Stack& stack) {
  stack.block_kinds.resize(static_cast<std::size_t>(stack.n_blocks), stack.block_kinds[0]);
  for (int i = 0; i < static_cast<int>(stack.n_blocks); ++i) {
    stack.block_kinds[static_cast<std::size_t>(i)].attention.scale /= i + 1;
    stack.kind_of.push_back(i);
  }
}

}  // namespace

// GPT-2: learned positions, pre-LN blocks, Conv1D weights stored [in, out], fused q|k|v columns,
// head tied to the embedding.
Architecture describe_gpt2(const Config& config) {
  config.runs_only("add_cross_attention", false, "decoders without cross attention");
  const Sizes sizes = read_sizes(config, {.hidden = "n_embd",
                                          .blocks = "n_layer",
                                          .heads = "n_head",
                                          .mlp_width = "n_inner",
                                          .mlp_ratio = 4,
                                          .positions = "n_positions"});
  const Parts parts{sizes, initializer_range(config),
                    layer_norm(config, "layer_norm_epsilon", 1e-5)};

  Architecture a = outline("gpt2", parts,
                           {.prefixes = {"transformer.", ""},
                            .table = "wte",
                            .block = {.layer = "h.{}.",
                                      .attention_norm = "ln_1",
                                      .mlp_norm = "ln_2",
                                      .qkv = {"attn.c_attn"},
                                      .out = "attn.c_proj",
                                      .mlp_in = {"mlp.c_fc"},
                                      .mlp_out = "mlp.c_proj",
                                      .storage = Storage::in_out},
                            .final_norm = "ln_f"});
  add_positions(a, parts, "wpe");
  BlockSpec& block = a.block_kinds[0];
  // Both maps that write to the residual stream start smaller, so that its variance does not grow
  // with depth.
  const double deep = parts.deviation / std::sqrt(2.0 * static_cast<double>(sizes.n_blocks));
  draw_with(block.attention.out, deep);
  draw_with(block.mlp.out, deep);
  if (!config.flag("scale_attn_weights", true)) block.attention.scale = 1.0;
  block.mlp.activation = parse_activation(config, "activation_function", "gelu_new");
  if (config.flag("scale_attn_by_inverse_layer_idx", false)) scale_by_inverse_index(a);
  add_head(a, config, {.classes = {"LMHeadModel", "DoubleHeadsModel"}, .tied = true});
  return a;
}

}  // namespace deadray
