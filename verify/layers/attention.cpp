#include "verify/layers/attention.h"

#include <ATen/ATen.h>

#include "verify/layers/activation.h"

namespace deadray {

Attention::Attention(const Weights& weights, const AttentionSpec& spec, std::int64_t block,
                     at::ScalarType dtype)
    : spec_(spec),
      qkv_(load_linear(weights, spec.qkv, block, dtype)),
      out_(load_linear(weights, spec.out, block, dtype)),
      query_norm_(load_if_any(weights, spec.query_norm, block, dtype)),
      key_norm_(load_if_any(weights, spec.key_norm, block, dtype)),
      value_norm_(load_if_any(weights, spec.value_norm, block, dtype)) {}

/// @param packed  [sequences, length, outputs of qkv]
Attention::Heads Attention::split(const at::Tensor& packed) const {
  const std::int64_t sequences = packed.size(0), length = packed.size(1), n_kv = spec_.n_kv_heads,
                     shared = spec_.n_heads / n_kv;
  if (spec_.packing == Packing::groups) {
    const at::Tensor groups = packed.view({sequences, length, n_kv, shared + 2, spec_.head_dim});
    const auto heads = [](const at::Tensor& part) { return part.flatten(2, 3).transpose(1, 2); };
    return {heads(groups.narrow(3, 0, shared)), heads(groups.narrow(3, shared, 1)),
            heads(groups.narrow(3, shared + 1, 1))};
  }
  const at::Tensor heads = packed.view({sequences, length, -1, spec_.head_dim}).transpose(1, 2);
  const at::Tensor k = heads.narrow(1, spec_.n_heads, n_kv);
  return {heads.narrow(1, 0, spec_.n_heads), k,
          spec_.values_are_keys ? k : heads.narrow(1, spec_.n_heads + n_kv, n_kv)};
}

/// softmax(scale q k^T + mask) v; query head h reads key head h / (n_heads / n_kv_heads).
at::Tensor Attention::mix(const Heads& heads, const Places& places) const {
  at::Tensor k = heads.k, v = heads.v;
  if (const std::int64_t shared = spec_.n_heads / spec_.n_kv_heads; shared > 1) {
    k = k.repeat_interleave(shared, 1);
    v = v.repeat_interleave(shared, 1);
  }
  if (spec_.score_soft_cap != 0.0) {
    at::Tensor scores =
        soft_cap(at::matmul(heads.q, k.transpose(-1, -2)) * spec_.scale, spec_.score_soft_cap);
    if (places.mask.defined()) scores = scores.add_(places.mask);
    return at::matmul(at::softmax(scores, -1), v);
  }
  const auto mask = places.mask.defined() ? std::optional(places.mask) : std::nullopt;
  if (c10::InferenceMode::is_enabled())
    return at::scaled_dot_product_attention(heads.q, k, v, mask, /*dropout_p=*/0.0, places.causal,
                                            spec_.scale);
  // The fused kernels have no forward-mode derivatives.
  return std::get<0>(at::_scaled_dot_product_attention_math(heads.q, k, v, mask, /*dropout_p=*/0.0,
                                                            places.causal, {}, spec_.scale));
}

at::Tensor Attention::operator()(const at::Tensor& h, const Places& places,
                                 const NormCall& call) const {
  at::Tensor packed = qkv_(h);
  if (spec_.clip > 0.0) packed = packed.clamp(-spec_.clip, spec_.clip);
  Heads heads = split(packed);
  if (query_norm_) heads.q = call(*query_norm_, heads.q);
  if (key_norm_) heads.k = call(*key_norm_, heads.k);
  if (value_norm_) heads.v = call(*value_norm_, heads.v);
  if (places.rotary) {
    heads.q = rotate(heads.q, *places.rotary);
    heads.k = rotate(heads.k, *places.rotary);
  }
  return out_(mix(heads, places).transpose(1, 2).flatten(2));
}

}  // namespace deadray
