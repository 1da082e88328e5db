#include "verify/layers/layers.h"

namespace deadray {

namespace {

/// Bloom's own gelu: the tanh form with sqrt(2 / pi) cut to eight digits.
at::Tensor gelu_bloom(const at::Tensor& x) {
  return x * 0.5 * (1.0 + at::tanh(0.79788456 * x * (1.0 + 0.044715 * x * x)));
}

}  // namespace

Norm::Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype)
    : sites_(site_names(spec, weights.name(spec.name, block))), spec_(spec) {
  const bool wide = spec.scales_in_fp32 && spec.kind == NormKind::rmsnorm &&
                    dtype != at::kDouble;  // layer_norm rounds once anyway
  if (spec.has_scale) {
    const Init initial{spec.weight_offset == 0.0 ? Init::Kind::ones : Init::Kind::zeros};
    const auto shape = spec.rows > 0 ? std::vector{spec.rows, spec.width} : std::vector{spec.width};
    gamma_ = weights.load({spec.name + ".weight", shape, initial}, block, dtype);
    if (wide) gamma_ = gamma_.to(at::kFloat);
    if (spec.weight_offset != 0.0) gamma_ += spec.weight_offset;
    if (spec.rows > 0) gamma_ = gamma_.unsqueeze(1);  // beside [sequences, rows, length, width]
  }
  if (spec.has_bias)
    beta_ = weights.load({spec.name + ".bias", {spec.width}, {Init::Kind::zeros}}, block, dtype);
  if (sites_.size() == 1) hook_ = weights.hook(name());
}

at::Tensor Norm::operator()(const at::Tensor& x) const {
  const at::Tensor h = evaluate(x);
  return hook_ != nullptr ? (*hook_)(x, h, {}) : h;
}

at::Tensor Norm::evaluate(const at::Tensor& x) const {
  const auto scaled = [&](const at::Tensor& h) { return gamma_.defined() ? h * gamma_ : h; };
  if (spec_.kind == NormKind::layernorm) {
    if (spec_.rows == 0) return at::layer_norm(x, {spec_.width}, gamma_, beta_, spec_.eps);
    const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
    return scaled(at::layer_norm(wide, {spec_.width}, {}, {}, spec_.eps)).to(x.scalar_type());
  }
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor unit = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + spec_.eps);
  const at::Tensor h =
      spec_.scales_in_fp32 ? scaled(unit).to(x.scalar_type()) : scaled(unit.to(x.scalar_type()));
  return beta_.defined() ? h + beta_ : h;
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::gelu_erf:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::gelu_bloom:
      return gelu_bloom(x);
    case Activation::quick_gelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::relu:
      return at::relu(x);
    case Activation::silu:
      return at::silu(x);
    case Activation::tanh:
      return at::tanh(x);
  }
  return x;
}

at::Tensor soft_cap(const at::Tensor& x, double cap) {
  return cap == 0.0 ? x : at::tanh(x / cap) * cap;
}

DenseMlp::DenseMlp(const Weights& weights, const MlpSpec& spec, std::int64_t block,
                   at::ScalarType dtype)
    : activation_(spec.activation),
      gated_(spec.gated),
      in_(load_linear(weights, spec.in, block, dtype)),
      out_(load_linear(weights, spec.out, block, dtype)) {}

at::Tensor DenseMlp::operator()(const at::Tensor& h) const {
  const at::Tensor wide = in_(h);
  if (!gated_) return out_(activate(activation_, wide));
  const std::int64_t width = wide.size(-1) / 2;
  const at::Tensor gate = activate(activation_, wide.narrow(-1, 0, width)),
                   up = wide.narrow(-1, width, width);
  return out_(c10::InferenceMode::is_enabled()
                  ? gate.mul_(up)
                  : gate * up);  // a derivative may need the gate as it was
}

}  // namespace deadray
