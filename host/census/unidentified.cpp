// What is counted apart: parameters that no input reaches, and directions that eps alone keeps
// alive.
#include <utility>

#include "host/census/causes.h"
#include "host/census/tally.h"

namespace deadray::census {
namespace {

using Kind = Event::Kind;

/// Whether the norm before a tied head can take back a factor of the table.
bool head_takes_factor_back(const MapUse& head) {
  return head.before != nullptr && head.before->spec->has_scale && !head.before->is_output &&
         head.before->readers.size() == 1;
}

/// Whether all that is written can be multiplied, and every reader divides it away.
bool is_scalable(const Graph& graph, const Segment& segment) {
  bool ends_in_norm = false;
  for (const Event& event : segment.events) {
    if (event.kind == Kind::norm && !event.norm->spec->has_scale) return false;
    if (event.kind == Kind::table && event.tied && !head_takes_factor_back(graph.decoder))
      return false;
    if (event.kind == Kind::read_output || (event.kind == Kind::read_map && event.tied))
      return false;
    ends_in_norm = ends_in_norm || event.kind == Kind::read_norm;
  }
  return ends_in_norm;
}

}  // namespace

std::vector<Unreached> unreached(const Architecture& a) {
  std::vector<Unreached> all;
  if (a.tokens && a.tokens->positions && a.tokens->position_offset > 0)
    all.push_back({a.tokens->positions->name, a.tokens->position_offset * a.hidden_size});
  if (a.patches && a.patches->mask_token)
    all.push_back({a.patches->mask_token->name, a.hidden_size});
  if (a.predictor && a.predictor->mask_tokens.shape[0] > 1)
    all.push_back({a.predictor->mask_tokens.name,
                   (a.predictor->mask_tokens.shape[0] - 1) * a.predictor->stack.hidden_size});
  return all;
}

Findings flat_up_to_eps(const Graph& graph) {
  Tally streams("stream_scale"), queries_keys("qk_scale"), values("value_scale"),
      head("head_scale");
  for (const Segment& segment : graph.segments)
    if (is_scalable(graph, segment))
      streams.add(segment.stack, segment.sums.empty() ? segment.events.front().block : -1, 1);
  for (const BlockUse& block : graph.blocks) {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) continue;
    const std::int64_t heads = (a.query_norm ? a.n_heads : 0) + (a.key_norm ? a.n_kv_heads : 0);
    if (heads > 0) queries_keys.add(block.stack, block.index, heads);
    if (a.value_norm && !a.values_are_keys) values.add(block.stack, block.index, a.n_kv_heads);
  }
  const auto& described = graph.architecture->head;
  if (described && described->transform && described->transform->activation == Activation::relu)
    head.add("model", -1, 1);
  Findings all;
  for (Tally* tally : {&streams, &queries_keys, &values, &head})
    for (Finding& found : std::move(*tally).take()) all.push_back(std::move(found));
  return all;
}

}  // namespace deadray::census
