#include <algorithm>
#include <functional>
#include <utility>

#include "host/census/causes.h"
#include "host/census/factors.h"

namespace deadray::census {
namespace {

using OfBlock = std::pair<std::int64_t, std::string_view>;  ///< dimension, or why it is 0

Findings over_blocks(const Graph& graph, std::string_view cause,
                     const std::function<OfBlock(const BlockUse&)>& of_block) {
  Findings all;
  for (const BlockUse& block : graph.blocks) {
    const auto [dimension, why] = of_block(block);
    all.push_back({cause, block.stack, block.index, dimension,
                   dimension > 0 ? std::string() : std::string(why)});
  }
  return all;
}

/// r: dimensions of a head that positions turn.
std::int64_t rotated(const AttentionSpec& attention) {
  if (!attention.rope) return 0;
  const Rope& rope = *attention.rope;
  return rope.scaling == Rope::Scaling::proportional ? 2 * rope.turning_pairs
                                                     : rope.rotated_dims * rope.axes;
}

/// Matrices over the turned dimensions that commute with every turn: a complex number for each
/// pair. V-JEPA 2 turns the members of a pair by different angles, which leaves a real number; but
/// where an axis has an even number of angles each pair of them comes twice, and two equal pairs
/// mix by four.
std::int64_t commuting(const AttentionSpec& attention) {
  const std::int64_t r = rotated(attention);
  if (r == 0 || attention.rope->pairing != Rope::Pairing::tiled_interleaved) return r;
  const std::int64_t angles = attention.rope->rotated_dims / 2;
  return angles == 1 || angles % 2 == 0 ? r : r / 2;
}

/// Changes of basis between what a key head writes in `inner` dimensions and what reads them for
/// each of its queries.
std::int64_t mixes(const AttentionSpec& attention, std::int64_t inner, std::int64_t width) {
  const std::int64_t inputs = attention.qkv.inputs + (attention.qkv.biases.empty() ? 0 : 1);
  return factorisations(inputs, inner, attention.n_heads / attention.n_kv_heads * width);
}

constexpr std::string_view kClipped = "queries, keys and values are clipped";
constexpr std::string_view kKeysAreValues = "the keys serve as values";

}  // namespace

Findings values(const Graph& graph) {
  return over_blocks(graph, "values", [](const BlockUse& block) -> OfBlock {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) return {0, kClipped};
    if (a.values_are_keys) return {0, kKeysAreValues};
    if (!a.value_norm) return {a.n_kv_heads * mixes(a, a.head_dim, a.out.outputs), {}};
    if (a.value_norm->kind == NormKind::layernorm || a.value_norm->has_scale)
      return {0, "a norm with a scale is on the values"};
    const std::int64_t h = std::min(a.head_dim, a.qkv.inputs);
    return {a.n_kv_heads * rotations(h), "heads of one dimension under a norm"};
  });
}

Findings value_bias(const Graph& graph) {
  const BlockSet with_constants = attention_beside_constants(graph);
  return over_blocks(graph, "value_bias", [&](const BlockUse& block) -> OfBlock {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) return {0, kClipped};
    if (a.values_are_keys) return {0, kKeysAreValues};
    if (a.value_norm) return {0, "a norm is on the values"};
    if (!block.qkv().writes_constant()) return {0, "the values have no bias"};
    if (!with_constants.contains({block.stack, block.index}))
      return {0, "the output map has no bias"};
    return {a.n_kv_heads * a.head_dim, {}};
  });
}

Findings queries_keys(const Graph& graph) {
  return over_blocks(graph, "queries_keys", [](const BlockUse& block) -> OfBlock {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) return {0, kClipped};
    const std::int64_t plain = a.head_dim - rotated(a), turned = commuting(a);
    if (!a.query_norm && !a.key_norm)
      return {a.n_kv_heads * (mixes(a, plain, a.qkv.inputs) + turned), {}};
    if (!a.query_norm || !a.key_norm || !a.query_norm->has_scale || !a.key_norm->has_scale)
      return {0, "a norm on queries or keys has no scale that the other's could undo"};
    const std::int64_t scales = plain + rotated(a) / 2;
    return {a.key_norm->rows > 0 ? a.n_kv_heads * scales : scales, {}};
  });
}

Findings key_bias(const Graph& graph) {
  return over_blocks(graph, "key_bias", [](const BlockUse& block) -> OfBlock {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) return {0, kClipped};
    if (a.key_norm) return {0, "a norm is on the keys"};
    if (a.score_soft_cap > 0) return {0, "scores have a soft-cap"};
    if (a.values_are_keys) return {0, kKeysAreValues};
    if (!block.qkv().writes_constant()) return {0, "the keys have no bias"};
    return {a.n_kv_heads * (a.head_dim - rotated(a)), "positions turn every dimension of a key"};
  });
}

Findings qk_layernorm(const Graph& graph) {
  return over_blocks(graph, "qk_layernorm", [](const BlockUse& block) -> OfBlock {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) return {0, kClipped};
    const auto is_layernorm = [](const std::optional<NormSpec>& norm) {
      return norm && norm->kind == NormKind::layernorm;
    };
    const std::int64_t heads = (is_layernorm(a.query_norm) ? a.n_heads : 0) +
                               (is_layernorm(a.key_norm) ? a.n_kv_heads : 0);
    if (heads == 0) return {0, "no LayerNorm is on queries or keys"};
    const MapUse qkv = block.qkv();
    const std::int64_t each = qkv.map->inputs + (qkv.has_bias() ? 1 : 0) - qkv.free_constants();
    std::int64_t shifts = 0;
    if (is_layernorm(a.key_norm) && a.key_norm->has_bias && a.score_soft_cap == 0.0)
      shifts = (a.head_dim - rotated(a)) * std::max<std::int64_t>(a.key_norm->rows, 1);
    return {heads * each + shifts, {}};
  });
}

Findings relative_bias(const Graph& graph) {
  return over_blocks(graph, "relative_bias", [](const BlockUse&) -> OfBlock {
    return {0, "no relative positions are learned"};
  });
}

}  // namespace deadray::census
