#include <nlohmann/json.hpp>

#include "host/architecture/families/llama.h"

namespace deadray {

// Mixtral: Mistral with a mixture of experts in every block. The names are those of its files;
// transformers 5 holds the experts fused.
Architecture describe_mixtral(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 8},
                                             {"rms_norm_eps", 1e-5},
                                             {"rope_theta", 1e6},
                                             {"num_experts_per_tok", 2},
                                             {"num_local_experts", 8}});
  Architecture a = llama_like(config, "mixtral", {});
  if (config.has("sliding_window"))
    a.block_kinds[0].attention.window = config.integer("sliding_window");

  Routing routing;
  routing.n_experts = config.count(config.has("num_experts") ? "num_experts" : "num_local_experts");
  routing.per_token = config.integer("num_experts_per_tok");
  routing.weights_in_fp32 = true;
  const std::string mlp = "layers.{}.block_sparse_moe.", experts = mlp + "experts.",
                    fused = "layers.{}.mlp.experts.";
  use_experts(config, a.block_kinds[0].mlp,
              {mlp + "gate", experts + "{e}.w1", experts + "{e}.w3", experts + "{e}.w2",
               fused + "gate_up_proj", fused + "down_proj"},
              routing, a.hidden_size, config.integer("intermediate_size"));
  a.aliases = {{"block_sparse_moe.gate.weight", "mlp.gate.weight"}};
  return a;
}

}  // namespace deadray
