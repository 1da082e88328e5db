#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/census/graph.h"

// One function for each cause of docs/census.md. Each finds what a whole model has of it, block by
// block.
namespace deadray::census {

/// Directions of one cause in one block.
struct Finding {
  std::string_view cause;
  std::string_view stack;   ///< model, vision, predictor
  std::int64_t block = -1;  ///< -1: of no block
  std::int64_t dimension = 0;
  std::string why{};  ///< where it is 0, one clause
};
using Findings = std::vector<Finding>;

// Of norms and the maps that read them: norms.cpp.
Findings norm_kernel(const Graph& graph);
Findings norm_shift(const Graph& graph);
Findings norm_scale(const Graph& graph);

// Of attention: attention.cpp.
Findings values(const Graph& graph);
Findings value_bias(const Graph& graph);
Findings queries_keys(const Graph& graph);
Findings key_bias(const Graph& graph);
Findings qk_layernorm(const Graph& graph);
Findings relative_bias(const Graph& graph);

// Of MLPs and of what scales a sublayer: mlp.cpp.
Findings homogeneity(const Graph& graph);
Findings router(const Graph& graph);
Findings layer_scale(const Graph& graph);

// Of streams, their tables, and the head: streams.cpp, rotation.cpp, head.cpp.
Findings along_one(const Graph& graph);
Findings tables(const Graph& graph);
Findings parallel(const Graph& graph);
Findings rotation(const Graph& graph);
Findings head_softmax(const Graph& graph);
Findings maps_in_a_row(const Graph& graph);

/// Of all causes, in the order of docs/census.md.
Findings findings(const Graph& graph);

/// A part of norm_shift: where a norm's output is the stream, the dimension of the shifts that the
/// next writer's bias takes back.
std::unordered_map<const NormUse*, std::int64_t> shifts_along_streams(const Graph& graph);

/// Whether the whole stream can turn, and whether x + 1 <w, x> is a change of basis of it:
/// rotation.
bool turns(const Graph& graph, const Segment& segment);
bool mixes_along_one(const Segment& segment);

/// Blocks, by stack and index.
using BlockSet = std::set<std::pair<std::string_view, std::int64_t>>;
/// Where a constant that attention writes can be taken back: by the output map's bias, or by
/// another writer's that no reader parts from it, as the MLP's in a parallel block.
BlockSet attention_beside_constants(const Graph& graph);

/// Parameters that no input reaches.
struct Unreached {
  std::string tensor;
  std::int64_t parameters = 0;
};
std::vector<Unreached> unreached(const Architecture& architecture);

/// What would be flat if a norm's eps were 0: scales in front of norms.
Findings flat_up_to_eps(const Graph& graph);

}  // namespace deadray::census
