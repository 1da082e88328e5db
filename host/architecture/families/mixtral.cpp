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
  use_window(config, a);

  Routing routing = read_routing(config);
  routing.weights_in_fp32 = true;
  const std::string mlp = "layers.{}.block_sparse_moe.", expert = mlp + "experts.{e}.";
  const std::string fused = "layers.{}.mlp.experts.";
  use_experts(config, a,
              {.router = mlp + "gate",
               .gate = expert + "w1",
               .up = expert + "w3",
               .down = expert + "w2",
               .fused_in = fused + "gate_up_proj",
               .fused_out = fused + "down_proj"},
              routing, config.integer("intermediate_size"));
  a.aliases = {{"block_sparse_moe.gate.weight", "mlp.gate.weight"}};
  return a;
}

}  // namespace deadray
