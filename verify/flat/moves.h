#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "verify/flat/builder.h"

namespace deadray::flat {

/// The causes of docs/census.md that moves are known of, in that order.
inline constexpr std::array<std::string_view, 17> kCauses{
    "norm_kernel", "norm_shift",  "norm_scale",  "values",        "value_bias",  "queries_keys",
    "key_bias",    "homogeneity", "along_one",   "tables",        "rotation",    "head_softmax",
    "router",      "parallel",    "layer_scale", "maps_in_a_row", "qk_layernorm"};

/// A random member of what a cause makes flat in one block: a curve along which no output moves.
/// @param key     of a finding whose dimension is not 0
/// @param number  tells several members apart
/// @return nothing where deadray does not know how to build one
std::optional<Move> move_of(const Model& model, const census::Graph& graph, const Key& key,
                            std::uint64_t seed, std::int64_t number);

}  // namespace deadray::flat
