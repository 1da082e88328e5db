#include "verify/layers/places.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "verify/base/forward_mode.h"

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

/// [1 or sequences, n_heads, 1, length]: slope times the key's position, equal to slope times (key
/// - query) under the softmax.
/// @param positions  [1 or sequences, length]
at::Tensor alibi_bias(const AttentionSpec& spec, const at::Tensor& positions,
                      at::ScalarType dtype) {
  const auto type = spec.alibi->rounds_bfloat16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor slopes = alibi_slopes(spec.n_heads).view({-1, 1, 1}).to(type);
  const at::Tensor bias = (slopes * positions.to(type).unsqueeze(1).unsqueeze(1)).to(dtype);
  return spec.alibi->scaled ? bias * spec.scale : bias;
}

/// The rows of some sequences of a tensor that all may share.
at::Tensor narrow(const at::Tensor& shared, std::int64_t first, std::int64_t count) {
  return shared.defined() && shared.size(0) > 1 ? shared.narrow(0, first, count) : shared;
}

}  // namespace

at::Tensor count_positions(Counting counting, const at::Tensor& attended, std::int64_t length) {
  if (counting == Counting::all || !attended.defined())
    return at::arange(length, at::kLong).unsqueeze(0);
  return attended.cumsum(1) * attended - 1;
}

AttentionPlaces::AttentionPlaces(const AttentionSpec& spec, const TokenPlaces& tokens,
                                 at::ScalarType dtype, at::Device device)
    : spec_(spec), dtype_(dtype), length_(tokens.length()) {
  const auto placed = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(device) : tensor;
  };
  index_ = at::arange(length_, at::device(device).dtype(at::kLong));
  attended_ = placed(tokens.attended);
  if (spec.joins_groups && spec.causal) groups_ = placed(tokens.groups);
  if (spec.rope) {
    rotary_ = rotary_table(*spec.rope, tokens.coordinates, dtype);
    for (at::Tensor* table : {&rotary_->cosine, &rotary_->sine})
      *table = placed(table->unsqueeze(1));
  }
  if (spec.alibi)
    bias_ = placed(
        alibi_bias(spec, count_positions(spec.alibi->counting, tokens.attended, length_), dtype));
  const bool limited = spec.window > 0 && spec.window < length_,
             own = attended_.defined() || groups_.defined();
  const bool shaped = limited || own || spec.alibi.has_value();
  causal_ = spec.causal && !shaped && spec.score_soft_cap == 0.0;
  masked_ = !causal_ && (spec.causal || shaped);
  if (masked_ && !own) shared_mask_ = mask(0, 1);
}

Places AttentionPlaces::tile(std::int64_t first, std::int64_t count) const {
  const ForwardMode::Pause plain;
  Places places{rotary_, shared_mask_, causal_};
  if (places.rotary)
    for (at::Tensor* table : {&places.rotary->cosine, &places.rotary->sine})
      *table = narrow(*table, first, count);
  if (masked_ && !shared_mask_.defined()) places.mask = mask(first, count);
  return places;
}

/// [1 or count, length, length] bool: whether the query (row) does not see the key.
at::Tensor AttentionPlaces::hidden(std::int64_t first, std::int64_t count) const {
  const at::Tensor key = index_, query = index_.view({1, -1, 1});
  at::Tensor unseen = spec_.causal ? key.gt(query) : key.ne(key).view({1, 1, -1});
  if (groups_.defined()) {
    const at::Tensor group = groups_.narrow(0, first, count);
    unseen = unseen.logical_and(
        group.unsqueeze(2).ne(group.unsqueeze(1)).logical_or(group.lt(0).unsqueeze(2)));
  }
  if (spec_.window > 0) {
    unseen = unseen.logical_or(key.le(query - spec_.window));
    if (!spec_.causal) unseen = unseen.logical_or(key.ge(query + spec_.window));
  }
  if (!attended_.defined()) return unseen;
  unseen = unseen.logical_or(attended_.narrow(0, first, count).logical_not().unsqueeze(1));
  // A query to which nothing is left reads itself: a softmax over nothing is no number.
  const at::Tensor blind = unseen.all(-1, /*keepdim=*/true);
  return unseen.logical_and(blind.logical_and(key.eq(query)).logical_not());
}

/// [1 or count, 1 or heads, length, length]: 0 or ALiBi's bias where the query (row) sees the key,
/// -inf elsewhere.
at::Tensor AttentionPlaces::mask(std::int64_t first, std::int64_t count) const {
  const at::Tensor unseen = hidden(first, count).unsqueeze(1);
  const at::Tensor added =
      at::zeros({unseen.size(0), 1, length_, length_}, unseen.options().dtype(dtype_))
          .masked_fill_(unseen, -std::numeric_limits<double>::infinity());
  return bias_.defined() ? added + narrow(bias_, first, count) : added;
}

}  // namespace deadray
