#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "host/architecture/architecture.h"

namespace deadray {

/// The blocks that have a part: their indices, or -1 alone for a part outside the blocks.
using Blocks = std::span<const std::int64_t>;

namespace detail {

inline constexpr std::int64_t kOutside[] = {-1};

/// The blocks of each kind.
inline std::vector<std::vector<std::int64_t>> blocks_by_kind(const Stack& stack) {
  std::vector<std::vector<std::int64_t>> blocks(stack.block_kinds.size());
  for (std::int64_t i = 0; i < stack.n_blocks; ++i) blocks[stack.kind(i)].push_back(i);
  return blocks;
}

template <class Optional, class Visit>
void visit_if_any(Optional& part, Blocks blocks, Visit& visit) {
  if (part) visit(*part, blocks, 1);
}

template <class StackType, class Visit>
void visit_stack(StackType& stack, Visit& visit) {
  visit_if_any(stack.input_norm, kOutside, visit);
  const auto blocks = blocks_by_kind(stack);
  for (std::size_t kind = 0; kind < stack.block_kinds.size(); ++kind) {
    auto& block = stack.block_kinds[kind];
    for_each_norm(block, [&](auto& norm) { visit(norm, blocks[kind], 1); });
    for_each_linear(block,
                    [&](auto& map, std::int64_t copies) { visit(map, blocks[kind], copies); });
    for (auto* scale : {&block.attention_layer_scale, &block.mlp_layer_scale, &block.output_scale})
      visit_if_any(*scale, blocks[kind], visit);
  }
  visit_if_any(stack.final_norm, kOutside, visit);
}

}  // namespace detail

/// Calls visit(part, blocks, copies) once for every norm, linear map and single tensor of a model:
/// part is a NormSpec, LinearSpec or TensorSpec (const where `a` is), blocks are those that have
/// it, copies the experts among which "{e}" counts. The weight of a tied head is visited too.
template <class ArchitectureType, class Visit>
void for_each_part(ArchitectureType& a, Visit&& visit) {
  using detail::kOutside, detail::visit_if_any, detail::visit_stack;
  if (a.tokens) {
    visit(a.tokens->table, kOutside, 1);
    visit_if_any(a.tokens->projection, kOutside, visit);
    for (auto* table : {&a.tokens->positions, &a.tokens->types})
      visit_if_any(*table, kOutside, visit);
  }
  if (a.patches) {
    visit(a.patches->projection, kOutside, 1);
    for (auto* tensor : {&a.patches->class_token, &a.patches->register_tokens,
                         &a.patches->mask_token, &a.patches->positions})
      visit_if_any(*tensor, kOutside, visit);
  }
  if (a.vision) {
    visit(a.vision->patches, kOutside, 1), visit(a.vision->positions, kOutside, 1);
    visit_stack(a.vision->blocks, visit);
    for (auto* tensor : {&a.vision->shift, &a.vision->scale})
      visit_if_any(*tensor, kOutside, visit);
    visit(a.vision->norm, kOutside, 1), visit(a.vision->projection, kOutside, 1);
  }
  visit_stack(a, visit);
  for (auto* map : {&a.output_projection, &a.pooler}) visit_if_any(*map, kOutside, visit);
  if (a.head) {
    if (a.head->transform)
      visit(a.head->transform->dense, kOutside, 1), visit(a.head->transform->norm, kOutside, 1);
    visit(a.head->decoder, kOutside, 1);
  }
  if (a.predictor) {
    visit_stack(a.predictor->stack, visit);
    visit(a.predictor->mask_tokens, kOutside, 1);
    visit(a.predictor->embedding, kOutside, 1), visit(a.predictor->projection, kOutside, 1);
  }
}

/// Visits the parts of one type, or two, and passes over the others.
template <class... Visits>
struct PartVisitor : Visits... {
  explicit PartVisitor(Visits... visits) : Visits(std::move(visits))... {}
  using Visits::operator()...;
  template <class Part>
  void operator()(Part&, Blocks, std::int64_t) const
    requires(!(std::is_invocable_v<const Visits&, Part&, Blocks, std::int64_t> || ...))
  {}
};

}  // namespace deadray
