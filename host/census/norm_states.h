#pragma once

#include "host/census/graph.h"
#include "host/formats/checkpoint.h"

namespace deadray::census {

/// Fills in NormUse::zeros, constants and is_absorbed.
/// @param checkpoint  null: no scale is zero, and no shift either
/// @throws as norm_sites() and load_norm() do
void set_states(Graph& graph, const Checkpoint* checkpoint);

}  // namespace deadray::census
