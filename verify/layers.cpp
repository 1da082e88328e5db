#include "verify/layers.h"

namespace deadray {

Norm::Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype)
    : name_(weights.name(spec.name, block)), kind_(spec.kind), eps_(spec.eps) {
  const Init initial{spec.weight_offset == 0.0 ? Init::Kind::ones : Init::Kind::zeros};
  gamma_ = weights.load({spec.name + ".weight", {spec.width}, initial}, block, dtype);
  if (spec.weight_offset != 0.0) gamma_ += spec.weight_offset;
  if (spec.has_bias) beta_ = weights.load({spec.name + ".bias", {spec.width}, {Init::Kind::zeros}}, block, dtype);
}

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (kind_ == NormKind::layernorm) return at::layer_norm(x, gamma_.sizes(), gamma_, beta_, eps_);
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps_);
  at::Tensor h = (wide * scale).to(x.scalar_type()).mul_(gamma_);
  return beta_.defined() ? h.add_(beta_) : h;
}

Attention::Attention(const Weights& weights, const AttentionSpec& spec, std::int64_t block, at::ScalarType dtype)
    : spec_(spec), qkv_(load_linear(weights, spec.qkv, block, dtype)), out_(load_linear(weights, spec.out, block, dtype)) {}

at::Tensor Attention::operator()(const at::Tensor& h, const std::optional<RotaryTable>& rotary) const {
  const std::int64_t sequences = h.size(0), length = h.size(1), n_heads = spec_.n_heads, n_kv = spec_.n_kv_heads, head_dim = spec_.head_dim;
  const at::Tensor heads = qkv_(h).view({sequences, length, n_heads + 2 * n_kv, head_dim}).transpose(1, 2);
  at::Tensor q = heads.narrow(1, 0, n_heads), k = heads.narrow(1, n_heads, n_kv), v = heads.narrow(1, n_heads + n_kv, n_kv);
  if (rotary) {
    q = rotate(q, *rotary);
    k = rotate(k, *rotary);
  }
  if (n_kv != n_heads) {  // query head h reads key/value head h / (n_heads / n_kv)
    k = k.repeat_interleave(n_heads / n_kv, 1);
    v = v.repeat_interleave(n_heads / n_kv, 1);
  }
  const at::Tensor mixed = at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, spec_.causal, spec_.scale);
  return out_(mixed.transpose(1, 2).reshape({sequences, length, n_heads * head_dim}));
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::gelu_erf:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
    case Activation::silu:
      return at::silu(x);
    case Activation::tanh:
      return at::tanh(x);
  }
  return x;
}

Mlp::Mlp(const Weights& weights, const MlpSpec& spec, std::int64_t block, at::ScalarType dtype)
    : activation_(spec.activation),
      gated_(spec.gated),
      in_(load_linear(weights, spec.in, block, dtype)),
      out_(load_linear(weights, spec.out, block, dtype)) {}

at::Tensor Mlp::operator()(const at::Tensor& h) const {
  const at::Tensor wide = in_(h);
  if (!gated_) return out_(activate(activation_, wide));
  const std::int64_t width = wide.size(-1) / 2;
  return out_(activate(activation_, wide.narrow(-1, 0, width)).mul_(wide.narrow(-1, width, width)));
}

}  // namespace deadray
