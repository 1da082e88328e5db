#include "verify/layers/attention.h"

#include <cmath>
#include <limits>

namespace deadray {

namespace {

/// ALiBi's slopes, [n_heads] FP32: a geometric sequence for the largest power of two heads, every
/// other of the next for the rest.
at::Tensor alibi_slopes(std::int64_t n_heads) {
  std::int64_t power = 1;
  while (2 * power <= n_heads) power *= 2;
  const auto sequence = [](std::int64_t count, std::int64_t step, std::int64_t total) {
    const at::Tensor base =
        at::scalar_tensor(std::exp2(-8.0 / static_cast<double>(total)), at::kFloat);
    return at::pow(base,
                   at::arange(1, 1 + count * step, step,
                              at::kInt));  // powers of a rounded base, as the models take them
  };
  return at::cat({sequence(power, 1, power), sequence(n_heads - power, 2, 2 * power)});
}

/// [n_heads, 1, length]: slope times key index, equal to slope times (key - query) under the
/// softmax.
at::Tensor alibi_bias(const AttentionSpec& spec, std::int64_t length, at::ScalarType dtype) {
  const auto type = spec.alibi->rounds_bfloat16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor slopes = alibi_slopes(spec.n_heads).view({-1, 1, 1}).to(type);
  const at::Tensor bias = (slopes * at::arange(length, type)).to(dtype);
  return spec.alibi->scaled ? bias * spec.scale : bias;
}

/// [1 or sequences, 1, length, length] FP32: 0 where the query (row) sees the key, -inf elsewhere.
at::Tensor visibility(const AttentionSpec& spec, std::int64_t length, const at::Tensor& groups) {
  const at::Tensor index = at::arange(length, at::kLong),
                   behind = index.view({-1, 1}) - index;  // query - key
  at::Tensor hidden = at::zeros({1, length, length}, at::kBool);
  if (spec.causal) hidden = hidden.logical_or(behind.lt(0));
  if (groups.defined())
    hidden = hidden.logical_and(
        groups.unsqueeze(2).ne(groups.unsqueeze(1)).logical_or(groups.lt(0).unsqueeze(2)));
  if (spec.window > 0)
    hidden = hidden.logical_or((spec.causal ? behind : behind.abs()).ge(spec.window));
  hidden = hidden.unsqueeze(1);
  return at::zeros(hidden.sizes(), at::kFloat)
      .masked_fill_(hidden, -std::numeric_limits<float>::infinity());
}

}  // namespace

Places Places::narrow(std::int64_t first, std::int64_t count) const {
  Places places = *this;
  if (mask.defined() && mask.size(0) > 1) places.mask = mask.narrow(0, first, count);
  return places;
}

Places places_of(const AttentionSpec& spec, const at::Tensor& coordinates, at::ScalarType dtype,
                 at::Device device, const at::Tensor& groups) {
  Places places;
  const std::int64_t length = coordinates.size(0);
  if (spec.rope) {
    places.rotary = rotary_table(*spec.rope, coordinates, dtype);
    for (at::Tensor* table : {&places.rotary->cosine, &places.rotary->sine})
      *table = table->to(device);
  }
  const bool limited = spec.window > 0 && spec.window < length;
  const bool joins = spec.joins_groups && groups.defined();
  places.causal = spec.causal && !limited && !joins && !spec.alibi && spec.score_soft_cap == 0.0;
  if (places.causal || (!spec.causal && !limited && !spec.alibi)) return places;
  at::Tensor mask = visibility(spec, length, joins ? groups : at::Tensor()).to(dtype);
  if (spec.alibi) mask = mask + alibi_bias(spec, length, dtype);
  places.mask = mask.to(device);
  return places;
}

Attention::Attention(const Weights& weights, const AttentionSpec& spec, std::int64_t block,
                     at::ScalarType dtype)
    : spec_(spec),
      qkv_(load_linear(weights, spec.qkv, block, dtype)),
      out_(load_linear(weights, spec.out, block, dtype)) {
  const auto load = [&](const std::optional<NormSpec>& norm, std::optional<Norm>& into) {
    if (norm) into.emplace(weights, *norm, block, dtype);
  };
  load(spec.query_norm, query_norm_), load(spec.key_norm, key_norm_),
      load(spec.value_norm, value_norm_);
}

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
  if (spec_.score_soft_cap == 0.0) {
    const auto mask = places.mask.defined() ? std::optional(places.mask) : std::nullopt;
    if (c10::InferenceMode::is_enabled())
      return at::scaled_dot_product_attention(heads.q, k, v, mask, /*dropout_p=*/0.0, places.causal,
                                              spec_.scale);
    // The fused kernels have no forward-mode derivatives.
    return std::get<0>(at::_scaled_dot_product_attention_math(heads.q, k, v, mask, 0.0,
                                                              places.causal, {}, spec_.scale));
  }
  at::Tensor scores =
      soft_cap(at::matmul(heads.q, k.transpose(-1, -2)) * spec_.scale, spec_.score_soft_cap);
  if (places.mask.defined()) scores = scores.add_(places.mask);
  return at::matmul(at::softmax(scores, -1), v);
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
