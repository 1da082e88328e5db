#include <algorithm>

#include "host/census/causes.h"
#include "host/census/factors.h"

namespace deadray::census {
namespace {

Finding no_softmax(std::string_view why) {
  return {"head_softmax", "model", -1, 0, std::string(why)};
}

/// The segment that begins with the model's tokens.
const Segment& entry(const Graph& graph) {
  return *std::find_if(graph.segments.begin(), graph.segments.end(),
                       [](const Segment& s) { return s.stack == "model" && !s.sums.empty(); });
}

/// A tied table: what the head loses the embedding must not feel.
Finding of_tied_head(const Graph& graph) {
  const MapUse& head = graph.decoder;
  const Segment& tokens = entry(graph);
  const bool is_projected = graph.architecture->tokens->projection.has_value();
  const bool ignores_one = tokens.ignores_one_after(0) && !is_projected;
  const bool softmax = graph.architecture->head->soft_cap == 0.0;
  std::int64_t shifts = 0;
  if (softmax && tokens.sums.front().sources > 0)
    shifts = head.map->inputs;  // another table takes the shift back
  else if (softmax && ignores_one)
    shifts = 1;
  std::int64_t rows = 0;  // each row along 1, which neither end sees
  if (ignores_one && head.before != nullptr && head.before->is_layernorm() &&
      !head.before->spec->has_scale && !head.before->spec->has_bias)
    rows = head.map->outputs - (shifts > 0 ? 1 : 0);
  const std::int64_t bias = softmax && head.has_bias() ? 1 : 0;
  if (shifts + rows + bias > 0) return {"head_softmax", "model", -1, shifts + rows + bias};
  return no_softmax(softmax ? "the head is tied, and the tokens would shift with it"
                            : "logits have a soft-cap");
}

}  // namespace

Findings head_softmax(const Graph& graph) {
  const MapUse& head = graph.decoder;
  if (head.map == nullptr) return {no_softmax("the model has no head")};
  if (head.tied) return {of_tied_head(graph)};
  if (graph.architecture->head->soft_cap > 0) return {no_softmax("logits have a soft-cap")};
  return {{"head_softmax", "model", -1,
           head.map->inputs + (head.has_bias() ? 1 : 0) - head.free_constants()}};
}

Findings maps_in_a_row(const Graph& graph) {
  const Architecture& a = *graph.architecture;
  std::int64_t dimension = 0;
  if (a.tokens && a.tokens->projection) {
    const std::int64_t rows = a.vocab_size, inner = a.tokens->table.shape[1], d = a.hidden_size;
    const bool out = a.head && a.output_projection;
    if (out && a.head->tied) {
      dimension = factorisations(2 * d, inner, rows);
    } else {
      dimension = factorisations(d, inner, rows);
      if (out) dimension += factorisations(d, inner, rows);
    }
  }
  return {{"maps_in_a_row", "model", -1, dimension,
           dimension > 0 ? "" : "no two linear maps follow each other"}};
}

}  // namespace deadray::census
