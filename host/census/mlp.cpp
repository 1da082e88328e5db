#include "host/census/causes.h"

namespace deadray::census {

Findings homogeneity(const Graph& graph) {
  Findings all;
  for (const BlockUse& block : graph.blocks) {
    const MlpSpec& mlp = block.spec->mlp;
    const std::int64_t units = mlp.out.inputs * (mlp.routing ? mlp.routing->n_experts : 1);
    const int branches = (mlp.gated ? 1 : 0) + (mlp.activation == Activation::relu ? 1 : 0);
    all.push_back({"homogeneity", block.stack, block.index, branches * units,
                   branches > 0 ? "" : "the activation is not homogeneous, and there is no gate"});
  }
  return all;
}

Findings router(const Graph& graph) {
  Findings all;
  for (const BlockUse& block : graph.blocks) {
    if (!block.spec->mlp.routing) {
      all.push_back({"router", block.stack, block.index, 0, "the MLP is no mixture"});
      continue;
    }
    const Routing& routing = *block.spec->mlp.routing;
    const MapUse map = block.router();
    const std::int64_t inputs = map.map->inputs + (map.has_bias() ? 1 : 0);
    // The one chosen weight is 1 whatever the router says.
    const bool is_constant =
        routing.per_token == 1 && (routing.normalises || routing.n_experts == 1);
    const std::int64_t outputs = is_constant ? routing.n_experts : 1;
    all.push_back({"router", block.stack, block.index, outputs * (inputs - map.free_constants())});
  }
  return all;
}

Findings layer_scale(const Graph& graph) {
  Findings all;
  for (const BlockUse& block : graph.blocks) {
    std::int64_t dimension = 0;
    for (const auto* scale : {&block.spec->attention_layer_scale, &block.spec->mlp_layer_scale})
      if (*scale) dimension += (*scale)->shape[0];
    all.push_back({"layer_scale", block.stack, block.index, dimension,
                   dimension > 0 ? "" : "sublayers have no layer scale"});
  }
  return all;
}

}  // namespace deadray::census
