#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "host/architecture/architecture.h"

namespace deadray {

namespace {

/// A number of elements that refuses to wrap.
class Count {
 public:
  Count(std::int64_t value) : value_(value) {}
  Count& operator+=(Count other) {
    return checked(__builtin_add_overflow(value_, other.value_, &value_));
  }
  Count& operator*=(Count other) {
    return checked(__builtin_mul_overflow(value_, other.value_, &value_));
  }
  std::int64_t value() const { return value_; }

 private:
  Count& checked(bool overflows) {
    if (overflows) throw std::overflow_error("more than 2^63 - 1 parameters");
    return *this;
  }
  std::int64_t value_;
};

Count elements(const std::vector<std::int64_t>& shape) {
  Count product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}
Count elements(const std::optional<TensorSpec>& spec) { return spec ? elements(spec->shape) : 0; }
Count elements(const NormSpec& norm) {
  Count sum = 0;
  if (norm.has_scale) sum += elements({std::max<std::int64_t>(norm.rows, 1), norm.width});
  if (norm.has_bias) sum += norm.width;
  return sum;
}
Count elements(const std::optional<NormSpec>& norm) { return norm ? elements(*norm) : 0; }
Count elements(const LinearSpec& linear) {
  Count sum = 0;
  for (const auto* parts : {&linear.weights, &linear.biases})
    for (const TensorSpec& part : *parts) sum += elements(part.shape);
  return sum;
}
Count elements(const std::optional<LinearSpec>& linear) { return linear ? elements(*linear) : 0; }
Count elements(const BlockSpec& block) {
  Count sum = 0;
  for_each_norm(block, [&](const NormSpec& norm) { sum += elements(norm); });
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    Count all = elements(linear);
    all *= copies;
    sum += all;
  });
  for (const auto* scale : {&block.attention_layer_scale, &block.mlp_layer_scale})
    sum += elements(*scale);
  return sum;  // output_scale is a buffer in the models that have it
}
Count elements(const Stack& stack) {
  Count sum = elements(stack.input_norm);
  sum += elements(stack.final_norm);
  for (std::size_t kind = 0; kind < stack.block_kinds.size(); ++kind) {
    Count blocks = elements(stack.block_kinds[kind]);
    blocks *= stack.kind_of.empty()
                  ? stack.n_blocks
                  : std::count(stack.kind_of.begin(), stack.kind_of.end(), static_cast<int>(kind));
    sum += blocks;
  }
  return sum;
}
Count elements(const TokenInput& tokens) {
  Count sum = elements(tokens.table.shape);
  sum += elements(tokens.projection);
  for (const auto* table : {&tokens.positions, &tokens.types}) sum += elements(*table);
  return sum;
}

Count elements(const PatchInput& patches) {
  Count sum = elements(patches.projection);
  for (const auto* tensor :
       {&patches.class_token, &patches.register_tokens, &patches.mask_token, &patches.positions})
    sum += elements(*tensor);
  return sum;
}
Count elements(const VisionTower& tower) {
  Count sum = elements(tower.blocks);
  sum += elements(tower.patches);
  sum += elements(tower.positions.shape);
  sum += elements(tower.norm);
  sum += elements(tower.projection);
  return sum;  // shift and scale are buffers
}

}  // namespace

std::int64_t count_parameters(const Architecture& a) {
  Count count = elements(static_cast<const Stack&>(a));
  if (a.tokens) count += elements(*a.tokens);
  if (a.patches) count += elements(*a.patches);
  if (a.predictor) {
    count += elements(a.predictor->stack);
    count += elements(a.predictor->mask_tokens.shape);
    for (const auto* map : {&a.predictor->embedding, &a.predictor->projection})
      count += elements(*map);
  }
  if (a.vision) count += elements(*a.vision);
  for (const auto* map : {&a.output_projection, &a.pooler}) count += elements(*map);
  if (!a.head) return count.value();
  if (a.head->transform) {
    count += elements(a.head->transform->dense);
    count += elements(a.head->transform->norm);
  }
  for (const TensorSpec& bias : a.head->decoder.biases) count += elements(bias.shape);
  if (!a.head->tied) count += elements(a.head->decoder.weights[0].shape);
  return count.value();
}

}  // namespace deadray
