#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "host/census/causes.h"
#include "host/census/factors.h"
#include "host/census/tally.h"

namespace deadray::census {
namespace {

using Kind = Event::Kind;

/// Whether the tied head turns with its table: it reads the stream, with no scale between.
bool head_turns_with_table(const Graph& graph, const Segment& segment) {
  const MapUse& head = graph.decoder;
  return std::any_of(segment.events.begin(), segment.events.end(), [&](const Event& e) {
    if (e.kind == Kind::read_map) return e.tied;
    return e.kind == Kind::read_norm && e.norm == head.before && !e.norm->spec->has_scale;
  });
}

/// What keeps the stream from being turned; empty: nothing.
/// @param passed  a norm that is no obstacle; null: none
std::string_view obstacle(const Graph& graph, const Segment& segment,
                          const NormUse* passed = nullptr) {
  for (const Event& event : segment.events) {
    if (passed != nullptr && event.norm == passed) continue;
    if (event.kind == Kind::norm && !event.norm->is_absorbed)
      return "a norm writes to the stream, through its scale";
    if (event.kind == Kind::read_output) return "what the stream holds is the model's answer";
    if (event.kind == Kind::table && event.tied && !head_turns_with_table(graph, segment))
      return "the token table is tied to the head, with a scale between";
    if (event.kind != Kind::read_norm) continue;
    if (event.norm->feeds_stream) return "a norm's output is the stream, through its scale";
    if (event.norm->is_output) return "a norm's output is what the model answers";
  }
  return {};
}

/// Rotations that leave the stream's norms what they are: of all of it, but those of LayerNorms fix
/// 1. Where scales are 0 their coordinates turn among themselves.
std::int64_t rotations_of(const Segment& segment) {
  std::set<std::vector<std::int64_t>> zeros;
  bool fixes_one = false;
  for (const Event& event : segment.events) {
    if (event.kind != Kind::read_norm) continue;
    fixes_one = fixes_one || event.norm->is_layernorm();
    if (!event.norm->zeros.empty()) zeros.insert(event.norm->zeros);
  }
  if (zeros.empty()) return rotations(segment.width - (fixes_one ? 1 : 0));
  if (fixes_one && zeros.size() == 1) {
    const auto z = static_cast<std::int64_t>(zeros.begin()->size());
    return rotations(segment.width - z) + rotations(z - 1);
  }
  // Coordinates that the same norms read; of several sets in LayerNorms a lower bound.
  std::map<std::int64_t, std::vector<bool>> readers;
  std::size_t k = 0;
  for (const auto& set : zeros) {
    for (const std::int64_t i : set) {
      auto& read = readers[i];
      read.resize(zeros.size());
      read[k] = true;
    }
    ++k;
  }
  std::map<std::vector<bool>, std::int64_t> sizes;
  for (const auto& [i, read] : readers) ++sizes[read];
  sizes[std::vector<bool>(zeros.size())] +=
      segment.width - static_cast<std::int64_t>(readers.size());
  std::int64_t sum = 0;
  for (const auto& [read, size] : sizes) sum += rotations(size - (fixes_one ? 1 : 0));
  return sum;
}

/// What LayerNorms do not see but maps that read the stream directly do: x + 1 <w, x>. Each writer
/// adds it, each of these maps takes it back.
std::int64_t mixtures_along_one(const Segment& segment) {
  bool is_read = false;
  for (const Event& event : segment.events) {
    const bool is_free = event.kind == Kind::map || event.is_layernorm_read() ||
                         (event.kind == Kind::table && !event.tied) ||
                         (event.kind == Kind::read_map && !event.tied);
    if (!is_free) return 0;
    is_read = is_read || event.kind == Kind::read_map;
  }
  return is_read ? segment.width : 0;
}

bool has_plain_layernorms(const Segment& segment) {
  return std::all_of(segment.events.begin(), segment.events.end(), [](const Event& e) {
    return e.norm == nullptr || (e.norm->is_layernorm() && e.norm->zeros.empty());
  });
}

/// Whether two streams could turn but for the LayerNorm between them, whose output the second is.
/// The d scales G have a change that keeps the d - 1 singular values of what G does to centred
/// vectors. Turns of both streams make up for it.
bool turn_through_scales(const Graph& graph, const Segment& before, const Segment& after) {
  const NormUse* norm = after.events.front().norm;
  return norm != nullptr && !before.sums.empty() && before.events.back().norm == norm &&
         norm->spec->has_scale && !norm->is_absorbed && has_plain_layernorms(before) &&
         has_plain_layernorms(after) && obstacle(graph, before, norm).empty() &&
         obstacle(graph, after, norm).empty();
}

}  // namespace

bool turns(const Graph& graph, const Segment& segment) {
  return obstacle(graph, segment).empty() && rotations_of(segment) > 0;
}

bool mixes_along_one(const Segment& segment) { return mixtures_along_one(segment) > 0; }

Findings rotation(const Graph& graph) {
  Tally tally("rotation");
  for (const Segment& segment : graph.segments) {
    const Event& first = segment.events.front();
    if (segment.sums.empty() && !(first.kind == Kind::norm && first.norm->is_absorbed)) continue;
    const std::string_view why = obstacle(graph, segment);
    tally.add(segment.stack, -1,
              (why.empty() ? rotations_of(segment) : 0) + mixtures_along_one(segment), why);
  }
  for (std::size_t i = 1; i < graph.segments.size(); ++i)
    if (turn_through_scales(graph, graph.segments[i - 1], graph.segments[i]))
      tally.add(graph.segments[i].stack, -1, 1);
  return std::move(tally).take();
}

}  // namespace deadray::census
