#include <ATen/ATen.h>
#include <fmt/format.h>

#include "verify/base/tensors.h"
#include "verify/flat/causes.h"

namespace deadray::flat {

using census::BlockUse;

void homogeneity(Builder& builder) {
  const BlockUse& block = *builder.block();
  const MlpSpec& mlp = block.spec->mlp;
  const std::int64_t units = mlp.out.inputs, copies = mlp.routing ? mlp.routing->n_experts : 1;
  const bool scales_first = mlp.activation == Activation::relu;
  for (std::int64_t e = 0; e < copies; ++e) {
    const LinearSpec in = mlp.routing ? expert(mlp.in, e) : mlp.in,
                     out = mlp.routing ? expert(mlp.out, e) : mlp.out;
    at::Tensor sum = at::zeros({units}, fp64());
    const auto branch = [&](const char* what, Range rows) {
      const auto up = builder.scales(fmt::format("{} {}", what, e), units);
      builder.multiply_outputs(in, block.index, {up}, rows);
      sum = sum + up->matrix();
    };
    if (mlp.gated) branch("up", {units, units});
    if (scales_first) branch("gate", {0, units});
    builder.multiply_inputs(out, block.index, {std::make_shared<Generator>(-sum)});
  }
}

void router(Builder& builder) {
  const BlockUse& block = *builder.block();
  const Routing& routing = *block.spec->mlp.routing;
  const at::Tensor a = builder.unit("row", routing.router.inputs);
  for (const auto& part : builder.outputs(routing.router, block.index)) {
    builder.shift(part.weight, a.unsqueeze(0).expand({part.count, a.size(0)}));
    if (part.bias) builder.shift(*part.bias, at::ones({part.count, 1}, fp64()));
  }
  // With one expert a token, whose weight is 1, nothing in the router is alive.
  if (routing.per_token > 1 && routing.n_experts > 1) return;
  for (std::int64_t e = 0; e < routing.n_experts; ++e)
    for (Place& place : builder.inputs(expert(block.spec->mlp.out, e), block.index))
      builder.keep_alive(std::move(place));
}

void layer_scale(Builder& builder) {
  const BlockUse& block = *builder.block();
  const auto sublayer = [&](const char* what, const std::optional<TensorSpec>& scale,
                            const LinearSpec& out, bool behind_norm) {
    if (!scale) return;
    if (behind_norm) return builder.give_up();
    const auto up = builder.scales(what, out.outputs);
    builder.multiply_left({*scale, block.index}, {up});
    builder.multiply_outputs(out, block.index, {Builder::inverse(*up)});
  };
  sublayer("attention", block.spec->attention_layer_scale, block.spec->attention.out,
           block.spec->attention_output_norm.has_value());
  sublayer("mlp", block.spec->mlp_layer_scale, block.spec->mlp.out,
           block.spec->mlp_output_norm.has_value());
}

}  // namespace deadray::flat
