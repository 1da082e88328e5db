#include "verify/layers/norm.h"

#include <ATen/ATen.h>

#include "host/architecture/norm_parameters.h"
#include "verify/layers/layer_hook.h"

namespace deadray {

Norm::Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype)
    : sites_(site_names(spec, weights.name(spec.name, block))), spec_(spec) {
  // layer_norm rounds once anyway, so only an RMSNorm can keep a wider scale.
  const bool wide = spec.scales_in_fp32 && spec.kind == NormKind::rmsnorm && dtype != at::kDouble;
  if (spec.has_scale) {
    const Init initial{spec.weight_offset == 0.0 ? Init::Kind::ones : Init::Kind::zeros};
    const auto shape = spec.rows > 0 ? std::vector{spec.rows, spec.width} : std::vector{spec.width};
    const TensorSpec stored{spec.name + ".weight", shape, initial};
    gamma_ = load_parameter(weights, {&stored, 1}, block, [&](const Weights& source) {
      const at::Tensor scale = source.load(stored, block, dtype).to(wide ? at::kFloat : dtype);
      return spec.rows > 0 ? scale.unsqueeze(1) : scale;  // beside [sequences, rows, length, width]
    });
    if (spec.weight_offset != 0.0) gamma_.value += spec.weight_offset;  // a constant: nothing moves
  }
  if (spec.has_bias)
    beta_ = load_parameter(weights, {spec.name + ".bias", {spec.width}, {Init::Kind::zeros}}, block,
                           dtype);
  if (sites_.size() == 1) hook_ = weights.hook(name());
}

at::Tensor Norm::operator()(const at::Tensor& x) const {
  const at::Tensor h = evaluate(x);
  return hook_ != nullptr ? (*hook_)(x, h, {}) : h;
}

at::Tensor Norm::evaluate(const at::Tensor& x) const {
  if (spec_.kind == NormKind::layernorm && spec_.rows == 0)
    return at::layer_norm(x, {spec_.width}, gamma_(), beta_(), spec_.eps);
  const auto scaled = [&](const at::Tensor& h) { return gamma_.defined() ? h * gamma_() : h; };
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  if (spec_.kind == NormKind::layernorm)
    return scaled(at::layer_norm(wide, {spec_.width}, {}, {}, spec_.eps)).to(x.scalar_type());
  const at::Tensor unit = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + spec_.eps);
  const at::Tensor h =
      spec_.scales_in_fp32 ? scaled(unit).to(x.scalar_type()) : scaled(unit.to(x.scalar_type()));
  return beta_.defined() ? h + beta_() : h;
}

std::optional<Norm> load_if_any(const Weights& weights, const std::optional<NormSpec>& spec,
                                std::int64_t block, at::ScalarType dtype) {
  return spec ? std::optional<Norm>(std::in_place, weights, *spec, block, dtype) : std::nullopt;
}

}  // namespace deadray
