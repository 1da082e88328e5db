#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"
#include "host/architecture/families/rope.h"

namespace deadray {

// Phi: one norm feeds attention and MLP beside each other; rotary positions on a part of each head;
// a head with a bias.
Architecture describe_phi(const Config& config) {
  const Sizes sizes = read_sizes(config, {.kv_heads = "num_key_value_heads"});
  config.runs_only("head_dim", sizes.head_dim,
                   fmt::format("hidden_size / num_attention_heads = {}", sizes.head_dim));
  const Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-5)};

  Architecture a = outline("phi", parts,
                           {.block = {.mlp_norm = "",
                                      .out = "self_attn.dense",
                                      .mlp_in = {"mlp.fc1"},
                                      .mlp_out = "mlp.fc2"},
                            .final_norm = "final_layernorm"});
  a.tokens->table.init.zero_row = padding_row(config, -1);
  BlockSpec& block = a.block_kinds[0];
  block.wiring = Wiring::parallel;
  AttentionSpec& attention = block.attention;
  attention.rope =
      parse_partial_rope(config, sizes.head_dim, {"rope_theta", "partial_rotary_factor", 0.5});
  if (config.flag("qk_layernorm", false)) {
    attention.query_norm = parts.norm("layers.{}.self_attn.q_layernorm", sizes.head_dim);
    attention.key_norm = parts.norm("layers.{}.self_attn.k_layernorm", sizes.head_dim);
  }
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu_new");
  add_head(a, config, {.bias = true});
  return a;
}

}  // namespace deadray
