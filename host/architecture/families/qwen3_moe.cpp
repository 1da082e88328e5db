#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/architecture/families/llama.h"
#include "host/base/error.h"

namespace deadray {

namespace {

/// Which blocks have a dense MLP: those that mlp_only_layers names, and of the others all but every
/// decoder_sparse_step-th.
std::vector<bool> dense_blocks(const Config& config, std::int64_t n_blocks) {
  const std::int64_t step = config.integer("decoder_sparse_step", 1);
  std::vector<bool> dense;
  for (std::int64_t block = 0; block < n_blocks; ++block) dense.push_back((block + 1) % step != 0);
  if (!config.has("mlp_only_layers")) return dense;
  const auto& named = config.json().at("mlp_only_layers");
  if (!named.is_array() || !std::all_of(named.begin(), named.end(), [](const auto& block) {
        return block.is_number_integer();
      }))
    throw MalformedError(
        fmt::format("{}: mlp_only_layers is not a list of block numbers", config.path().string()));
  for (const std::int64_t block : named.get<std::vector<std::int64_t>>())
    if (block >= 0 && block < n_blocks) dense[static_cast<std::size_t>(block)] = true;
  return dense;
}

}  // namespace

// Qwen3-MoE: Qwen3 with a mixture of experts in most blocks, softmax over all of them, no shared
// one.
Architecture describe_qwen3_moe(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 4},
                                             {"sliding_window", 4096},
                                             {"moe_intermediate_size", 768},
                                             {"num_experts_per_tok", 8},
                                             {"num_local_experts", 128}});
  const bool bias = config.flag("attention_bias", false);
  Architecture a = llama_like(config, "qwen3_moe", {.qkv_bias = bias, .out_bias = bias});
  add_query_key_norms(a);
  const std::int64_t window = config.integer("sliding_window", 0);
  if (config.flag("use_sliding_window", false)) a.block_kinds[0].attention.window = window;

  const MlpSpec dense = a.block_kinds[0].mlp;
  Routing routing;
  routing.n_experts = config.count(config.has("num_experts")
                                       ? "num_experts"
                                       : "num_local_experts");  // as the hub's files, as newer ones
  routing.per_token = config.integer("num_experts_per_tok");
  routing.normalises = config.flag("norm_topk_prob", false);
  const std::string mlp = "layers.{}.mlp.", experts = mlp + "experts.";
  use_experts(config, a.block_kinds[0].mlp,
              {mlp + "gate", experts + "{e}.gate_proj", experts + "{e}.up_proj",
               experts + "{e}.down_proj", experts + "gate_up_proj", experts + "down_proj"},
              routing, a.hidden_size, config.integer("moe_intermediate_size"));
  change_blocks(a, dense_blocks(config, a.n_blocks), [&](BlockSpec& block) { block.mlp = dense; });
  return a;
}

}  // namespace deadray
