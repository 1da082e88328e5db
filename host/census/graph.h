#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"

// A model as the census sees it: norms with the maps that read them, and streams as runs of writes
// and reads. docs/census.md says why that is enough.
namespace deadray::census {

struct NormUse;

/// A linear map in its place. `copies` of it stand side by side: the experts of a mixture.
struct MapUse {
  const LinearSpec* map = nullptr;
  std::int64_t copies = 1;
  bool tied = false;
  const NormUse* before = nullptr;  ///< the norm whose output it reads; null: none
  std::int64_t block = -1;          ///< in which it stands

  bool has_bias() const { return !map->biases.empty(); }
  /// Functionals of its input that are constant and cost nothing to read: each gives a flat
  /// direction for every output.
  std::int64_t free_constants() const;
  /// Whether it can write the same vector for every token: by its bias, or by reading a constant.
  bool writes_constant() const;
};

/// Functionals of a norm's output that are the same for every input: <1/gamma, .> of a LayerNorm,
/// or e_i for each gamma_i = 0.
struct Constants {
  std::int64_t count = 0;
  bool all_zero = true;  ///< what they equal
};

struct NormUse {
  const NormSpec* spec = nullptr;
  std::string_view stack;
  std::int64_t block = -1;
  std::vector<MapUse> readers;
  bool feeds_stream = false;  ///< its output is the stream, or is added to it
  bool is_output = false;     ///< its output is what the model answers
  /// It stands behind one free table alone, and nobody reads along 1 what it limits: the table's
  /// rows, which eps lets reach an open set, make up for any of its scales and shifts.
  bool is_absorbed = false;
  /// i with gamma_i = 0 exactly, as the checkpoint stores it; without one there are none.
  std::vector<std::int64_t> zeros;
  Constants constants;

  bool is_layernorm() const { return spec->kind == NormKind::layernorm; }
};

/// What changes a stream, or reads it, in order.
struct Event {
  enum class Kind { table, map, norm, read_norm, read_map, read_output } kind;
  std::int64_t block = -1;
  MapUse map{};                   ///< of map, read_map
  const NormUse* norm = nullptr;  ///< of norm, read_norm
  std::int64_t rows = 0;          ///< of a table: those that inputs reach
  const TensorSpec* table = nullptr;
  std::int64_t first_row = 0;  ///< of those
  bool tied = false;           ///< a table that the head reads too, or the head itself
  bool is_attention = false;   ///< of map: attention's output

  bool is_write() const { return kind <= Kind::norm; }
  bool is_layernorm_read() const { return kind == Kind::read_norm && norm->is_layernorm(); }
  /// Whether a reader sees a constant that was written, and has no bias to take it back.
  bool sees_constant() const;
  /// Whether a writer can write any vector for every token.
  bool writes_constant() const;
};

/// Tables that are summed to a token: a constant may go from one to another.
struct Sum {
  std::int64_t sources = 0;     ///< untied ones that hold any vector of the stream
  std::int64_t projected = 0;   ///< width of an untied table behind a projection; 0: none
  std::int64_t tied_width = 0;  ///< of the tied table, where it is among them
};

/// A run of a stream from where it begins (tables, or a norm whose output it is) to the norm that
/// ends it, or to the model's end.
struct Segment {
  std::string_view stack;
  std::int64_t width = 0;
  std::vector<Sum> sums;  ///< of what it begins with; empty where it begins with a norm or a map
  std::vector<Event> events;

  /// Whether every reader after event i is a LayerNorm: what is written along 1 is then lost.
  bool ignores_one_after(std::size_t i) const;
};

/// A block with the norms that its maps read.
struct BlockUse {
  const BlockSpec* spec = nullptr;
  std::string_view stack;
  std::int64_t index = 0;
  const NormUse *attention_before = nullptr, *mlp_before = nullptr;

  MapUse qkv() const { return {&spec->attention.qkv, 1, false, attention_before, index}; }
  MapUse router() const { return {&spec->mlp.routing->router, 1, false, mlp_before, index}; }
};

struct Graph {
  const Architecture* architecture = nullptr;
  std::deque<NormUse> norms;
  std::vector<Segment> segments;
  std::vector<BlockUse> blocks;
  MapUse decoder{};  ///< of the head; its map is null where there is none
};

/// The norms' states are still to be set: set_states().
/// @param architecture  as the checkpoint has it; must outlive the graph
Graph graph_of(const Architecture& architecture);

}  // namespace deadray::census
