#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "host/census/causes.h"
#include "host/census/tally.h"

namespace deadray::census {
namespace {

using Kind = Event::Kind;

/// What a writer can write along one fixed vector of the stream, beyond what it counts elsewhere.
std::int64_t along_a_vector(const Event& write) {
  if (write.kind == Kind::table) return write.tied ? 0 : write.rows;
  if (write.kind == Kind::norm) return write.norm->spec->has_bias ? 1 : 0;
  const MapUse& map = write.map;
  return map.copies * (map.map->inputs + (map.has_bias() ? 1 : 0) - map.free_constants());
}

bool reads_rms(const Segment& segment) {
  return std::any_of(segment.events.begin(), segment.events.end(), [](const Event& e) {
    return e.kind == Kind::read_norm && !e.norm->is_layernorm();
  });
}

/// Which vectors two writers can hand to each other unseen: what is between them are maps that take
/// a constant back (all vectors), LayerNorms too (those along 1), or others (none).
enum class Between { all, along_one, none };

/// A writer of constants, and the next one: what the first adds the second subtracts.
struct Pair {
  enum class First { tables, norm, map } first;
  const NormUse* norm = nullptr;  ///< the first, where it is one
  std::int64_t block = -1;        ///< of the first
  std::int64_t dimension = 0;     ///< less what along_one counts
};

bool begins_with_constant(const Segment& segment) {
  return segment.sums.size() == 1 && segment.sums.front().sources > 0;
}

bool is_of_entry(const Segment& segment, const Event& event) {
  return event.block < 0 && !segment.sums.empty();
}

std::vector<Pair> pairs_of(const Segment& segment) {
  std::vector<Pair> pairs;
  std::optional<Pair> open;
  Between between = Between::all;
  std::size_t first = 0;
  if (begins_with_constant(segment)) open = Pair{Pair::First::tables};
  for (std::size_t i = 0; i < segment.events.size(); ++i) {
    const Event& event = segment.events[i];
    if (event.is_layernorm_read())
      between = std::max(between, Between::along_one);
    else if (event.sees_constant())
      between = Between::none;
    if (is_of_entry(segment, event) || !event.writes_constant()) continue;
    if (open && between != Between::none) {
      open->dimension = (between == Between::all ? segment.width : 1) -
                        (segment.ignores_one_after(first) ? 1 : 0);
      if (open->dimension > 0) pairs.push_back(*open);
    }
    between = Between::all;
    first = i;
    open = Pair{event.kind == Kind::norm ? Pair::First::norm : Pair::First::map, event.norm,
                event.block};
  }
  return pairs;
}

}  // namespace

Findings along_one(const Graph& graph) {
  Tally tally("along_one");
  for (const Segment& segment : graph.segments)
    for (std::size_t i = 0; i < segment.events.size(); ++i) {
      const Event& event = segment.events[i];
      if (!event.is_write()) continue;
      const bool ignored = segment.ignores_one_after(i);
      const std::int64_t dimension = ignored ? along_a_vector(event) : 0;
      tally.add(segment.stack, event.block, dimension,
                ignored              ? "the writer is the tied table, or a norm without shift"
                : reads_rms(segment) ? "an RMSNorm reads the stream, and keeps its mean"
                                     : "not every reader of the stream is a LayerNorm");
    }
  return std::move(tally).take();
}

Findings tables(const Graph& graph) {
  Tally tally("tables");
  for (const Segment& segment : graph.segments) {
    if (segment.sums.empty()) continue;
    const std::int64_t each = segment.width - (segment.ignores_one_after(0) ? 1 : 0);
    std::int64_t dimension = 0;
    for (const Sum& sum : segment.sums)
      if (sum.sources > 0)
        dimension += (sum.sources - 1) * each + std::min(sum.projected, segment.width);
    for (const Pair& pair : pairs_of(segment))
      if (pair.first == Pair::First::tables) dimension += pair.dimension;
    tally.add(segment.stack, -1, dimension, "no two tables that are free are summed");
  }
  return std::move(tally).take();
}

Findings parallel(const Graph& graph) {
  Tally tally("parallel");
  for (const BlockUse& block : graph.blocks)
    tally.add(block.stack, block.index, 0,
              block.spec->wiring == Wiring::parallel
                  ? "attention and MLP do not both have a bias"
                  : "attention and MLP write one after the other");
  for (const Segment& segment : graph.segments)
    for (const Pair& pair : pairs_of(segment))
      if (pair.first == Pair::First::map) tally.add(segment.stack, pair.block, pair.dimension);
  return std::move(tally).take();
}

std::unordered_map<const NormUse*, std::int64_t> shifts_along_streams(const Graph& graph) {
  std::unordered_map<const NormUse*, std::int64_t> shifts;
  for (const Segment& segment : graph.segments)
    for (const Pair& pair : pairs_of(segment))
      if (pair.first == Pair::First::norm) shifts.emplace(pair.norm, pair.dimension);
  return shifts;
}

BlockSet attention_beside_constants(const Graph& graph) {
  BlockSet found;
  for (const Segment& segment : graph.segments) {
    bool constant = begins_with_constant(segment);
    BlockSet waiting;  // in the run of writes whose constants nobody sees
    for (const Event& event : segment.events) {
      if (event.sees_constant()) constant = false, waiting.clear();
      constant = constant || event.writes_constant();
      if (event.is_attention) waiting.insert({segment.stack, event.block});
      if (constant) found.merge(waiting), waiting.clear();
    }
  }
  return found;
}

}  // namespace deadray::census
