#include "verify/layers/places.h"

#include <ATen/ATen.h>

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
    // Powers of a rounded base, as the models take them.
    return at::pow(base, at::arange(1, 1 + count * step, step, at::kInt));
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

}  // namespace deadray
