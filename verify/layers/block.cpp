#include "verify/layers/block.h"

#include "host/architecture/norm_parameters.h"

namespace deadray {

namespace {

Parameter load_scale(const Weights& weights, const std::optional<TensorSpec>& spec,
                     std::int64_t index, at::ScalarType dtype) {
  return spec ? load_parameter(weights, *spec, index, dtype) : Parameter{};
}

std::variant<DenseMlp, Mixture> load_mlp(const Weights& weights, const MlpSpec& spec,
                                         std::int64_t index, at::ScalarType dtype) {
  if (spec.routing) return Mixture(weights, spec, index, dtype);
  return DenseMlp(weights, spec, index, dtype);
}

}  // namespace

Block::Block(const Weights& weights, const BlockSpec& spec, std::int64_t index,
             at::ScalarType dtype)
    : wiring_(spec.wiring),
      attention_norm_(weights, spec.attention_norm, index, dtype),
      mlp_norm_(load_if_any(weights, spec.mlp_norm, index, dtype)),
      attention_output_norm_(load_if_any(weights, spec.attention_output_norm, index, dtype)),
      mlp_output_norm_(load_if_any(weights, spec.mlp_output_norm, index, dtype)),
      attention_layer_scale_(load_scale(weights, spec.attention_layer_scale, index, dtype)),
      mlp_layer_scale_(load_scale(weights, spec.mlp_layer_scale, index, dtype)),
      output_scale_(load_scale(weights, spec.output_scale, index, dtype)),
      attention_(weights, spec.attention, index, dtype),
      mlp_(load_mlp(weights, spec.mlp, index, dtype)) {
  for_each_norm(spec, [&](const NormSpec& norm) {
    for (std::string& site : site_names(norm, weights.name(norm.name, index)))
      norms_.push_back(std::move(site));
  });
}

/// What the attention adds to the stream.
at::Tensor Block::attend(const at::Tensor& h, const Places& places, const NormCall& call) const {
  at::Tensor added = attention_(h, places, call);
  if (attention_output_norm_) added = call(*attention_output_norm_, added);
  return attention_layer_scale_.defined() ? added * attention_layer_scale_() : added;
}

/// What the MLP adds to the stream.
at::Tensor Block::feed_forward(const at::Tensor& h, const NormCall& call) const {
  at::Tensor added = std::visit([&](const auto& mlp) { return mlp(h); }, mlp_);
  if (mlp_output_norm_) added = call(*mlp_output_norm_, added);
  return mlp_layer_scale_.defined() ? added * mlp_layer_scale_() : added;
}

at::Tensor Block::operator()(const at::Tensor& x, const Places& places,
                             const NormCall& call) const {
  at::Tensor next;
  switch (wiring_) {
    case Wiring::pre: {
      const at::Tensor between = x + attend(call(attention_norm_, x), places, call);
      next = between + feed_forward(call(*mlp_norm_, between), call);
      break;
    }
    case Wiring::post: {
      const at::Tensor between = call(attention_norm_, x + attend(x, places, call));
      next = call(*mlp_norm_, between + feed_forward(between, call));
      break;
    }
    case Wiring::parallel: {
      const at::Tensor h = call(attention_norm_, x);
      next = x + attend(h, places, call) + feed_forward(mlp_norm_ ? call(*mlp_norm_, x) : h, call);
      break;
    }
  }
  return output_scale_.defined() ? next * output_scale_() : next;
}

}  // namespace deadray
