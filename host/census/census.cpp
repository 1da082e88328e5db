#include "host/census/census.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/census/causes.h"
#include "host/census/norm_states.h"

namespace deadray {
namespace {

using namespace census;

constexpr std::array kCauses{norm_kernel,   norm_shift,   norm_scale,   values,    value_bias,
                             queries_keys,  key_bias,     homogeneity,  along_one, tables,
                             rotation,      head_softmax, router,       parallel,  layer_scale,
                             maps_in_a_row, qk_layernorm, relative_bias};

/// What a stream can begin with: fewer dimensions than it has, where tables and inputs are few.
void note_narrow_streams(const Graph& graph, std::vector<std::string>& notes) {
  for (const Segment& segment : graph.segments) {
    if (segment.sums.empty()) continue;
    std::int64_t rank = 0;
    for (const Event& event : segment.events)
      if (event.block < 0 && event.kind == Event::Kind::table)
        rank += event.rows;
      else if (event.block < 0 && event.kind == Event::Kind::map)
        rank += event.map.map->inputs + (event.map.has_bias() ? 1 : 0);
    if (rank < segment.width)
      notes.push_back(fmt::format(
          "{}: what the stream begins with spans {} of its {} dimensions: the first maps that read "
          "it have further flat directions, which are not counted",
          segment.stack, rank, segment.width));
  }
}

CensusEntry entry_of(Finding&& found) {
  return {std::string(found.cause), std::string(found.stack), found.block, found.dimension,
          std::move(found.why)};
}

}  // namespace

Architecture as_stored(Architecture architecture, const Checkpoint& checkpoint,
                       std::vector<std::string>& notes) {
  if (architecture.head && !has_head(architecture, &checkpoint)) {
    architecture.head.reset();
    notes.emplace_back("the checkpoint holds no head: the census is that of the model without one");
  }
  if (!architecture.pooler) return architecture;
  const std::string prefix = checkpoint_prefix(architecture, checkpoint);
  const std::string name = full_name(architecture.pooler->weights[0].name, prefix);
  if (checkpoint.find(stored_name(architecture, checkpoint, name)) == nullptr) {
    architecture.pooler.reset();
    notes.emplace_back(
        "the checkpoint holds no pooler: the census is that of the model without "
        "one");
  }
  return architecture;
}

Findings census::findings(const Graph& graph) {
  Findings all;
  for (const auto cause : kCauses)
    for (Finding& found : cause(graph)) all.push_back(std::move(found));
  return all;
}

Census census_of(const Architecture& architecture, const std::optional<Checkpoint>& checkpoint) {
  Census result;
  const Architecture model =
      checkpoint ? as_stored(architecture, *checkpoint, result.notes) : architecture;
  Graph graph = graph_of(model);
  set_states(graph, checkpoint ? &*checkpoint : nullptr);
  result.parameters = count_parameters(model);
  note_narrow_streams(graph, result.notes);
  for (Finding& found : findings(graph)) {
    result.flat += found.dimension;
    result.causes.push_back(entry_of(std::move(found)));
  }
  for (Finding& found : flat_up_to_eps(graph)) {
    result.flat_up_to_eps += found.dimension;
    result.up_to_eps.push_back(entry_of(std::move(found)));
  }
  for (Unreached& part : unreached(model)) {
    result.unreached += part.parameters;
    result.unreached_tensors.push_back({std::move(part.tensor), "model", -1, part.parameters, {}});
  }
  return result;
}

}  // namespace deadray
