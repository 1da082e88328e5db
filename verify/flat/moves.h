#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "verify/flat/builder.h"

namespace deadray::flat {

/// The causes of docs/census.md that moves are known of, in that order.
std::vector<std::string_view> known_causes();

/// A random member of what a cause makes flat in one block: a curve along which no output moves.
/// @param key     of a finding whose dimension is not 0
/// @param number  tells several members apart
/// @return nothing where deadray does not know how to build one
std::optional<Move> move_of(const Model& model, const census::Graph& graph, const Key& key,
                            std::uint64_t seed, std::int64_t number);

}  // namespace deadray::flat
