// What is counted apart: parameters that no input reaches, and directions that eps alone keeps
// alive.
#include <algorithm>

#include "host/census/causes.h"

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
  Findings all;
  for (const Segment& segment : graph.segments)
    if (is_scalable(graph, segment)) {
      const std::int64_t block = segment.sums.empty() ? segment.events.front().block : -1;
      all.push_back({"stream_scale", segment.stack, block, 1});
    }
  for (const BlockUse& block : graph.blocks) {
    const AttentionSpec& a = block.spec->attention;
    if (a.clip > 0) continue;
    const std::int64_t heads = (a.query_norm ? a.n_heads : 0) + (a.key_norm ? a.n_kv_heads : 0);
    if (heads > 0) all.push_back({"qk_scale", block.stack, block.index, heads});
    if (a.value_norm && !a.values_are_keys)
      all.push_back({"value_scale", block.stack, block.index, a.n_kv_heads});
  }
  const auto& head = graph.architecture->head;
  if (head && head->transform && head->transform->activation == Activation::relu)
    all.push_back({"head_scale", "model", -1, 1});
  return all;
}

}  // namespace deadray::census
