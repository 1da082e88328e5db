#include "host/census/graph.h"

#include <algorithm>
#include <utility>

namespace deadray::census {

std::int64_t MapUse::free_constants() const {
  if (before == nullptr || tied) return 0;
  const Constants& constants = before->constants;
  return has_bias() || constants.all_zero ? constants.count : constants.count - 1;
}

bool MapUse::writes_constant() const {
  return has_bias() || (before != nullptr && !tied && !before->constants.all_zero);
}

bool Event::sees_constant() const {
  if (kind == Kind::read_map) return tied || !map.writes_constant();
  return !is_write();
}

bool Event::writes_constant() const {
  if (kind == Kind::norm) return norm->spec->has_bias;
  return kind == Kind::map && map.has_bias() && map.copies == 1;
}

bool Segment::ignores_one_after(std::size_t i) const {
  return std::all_of(events.begin() + static_cast<std::ptrdiff_t>(i), events.end(),
                     [](const Event& e) { return e.is_write() || e.is_layernorm_read(); });
}

namespace {

using Kind = Event::Kind;

/// Follows each stream from its tables to its end.
class Builder {
 public:
  explicit Builder(const Architecture& architecture) : a_(architecture) {
    graph_.architecture = &architecture;
  }

  Graph build() && {
    if (a_.vision) add_vision(*a_.vision);
    begin(kModel, a_.hidden_size);
    if (a_.tokens) add_tokens(*a_.tokens);
    if (a_.patches) add_patches(*a_.patches);
    if (a_.vision) write({.kind = Kind::map, .map = vision_projection_});
    end_model(add_stack(a_));
    if (a_.predictor) add_predictor(*a_.predictor);
    return std::move(graph_);
  }

 private:
  static constexpr std::string_view kModel = "model", kVision = "vision", kPredictor = "predictor";

  Segment& segment() { return graph_.segments.back(); }
  void begin(std::string_view stack, std::int64_t width) {
    graph_.segments.push_back({.stack = stack, .width = width, .sums = {}, .events = {}});
  }
  void write(Event event) { segment().events.push_back(std::move(event)); }
  void write_table(const TensorSpec& table, std::int64_t rows, std::int64_t first = 0,
                   bool tied = false) {
    write({.kind = Kind::table, .rows = rows, .table = &table, .first_row = first, .tied = tied});
  }
  NormUse& norm(const NormSpec& spec, std::int64_t block) {
    graph_.norms.push_back({.spec = &spec,
                            .stack = segment().stack,
                            .block = block,
                            .readers = {},
                            .zeros = {},
                            .constants = {}});
    return graph_.norms.back();
  }
  NormUse& read(NormUse& norm) {
    segment().events.push_back({.kind = Kind::read_norm, .block = norm.block, .norm = &norm});
    return norm;
  }
  /// The norm's output becomes the stream.
  NormUse& replace_stream(NormUse& norm) {
    norm.feeds_stream = true;
    begin(norm.stack, norm.spec->width);
    write({.kind = Kind::norm, .block = norm.block, .norm = &norm});
    return norm;
  }
  MapUse reader(NormUse* norm, const LinearSpec& map, std::int64_t copies = 1,
                bool tied = false) const {
    const MapUse use{&map, copies, tied, norm, in_block_};
    if (norm != nullptr) norm->readers.push_back(use);
    return use;
  }
  void read_directly(const MapUse& map, std::int64_t block) {
    segment().events.push_back({.kind = Kind::read_map, .block = block, .map = map});
  }

  // --- what streams begin with ---

  void add_tokens(const TokenInput& tokens) {
    const bool tied = a_.head && a_.head->tied;
    const std::int64_t width = tokens.table.shape[1];
    Sum sum;
    if (tied) sum.tied_width = width;
    if (tokens.projection) {
      sum.projected = tied ? 0 : width;
      write({.kind = Kind::map, .map = {&*tokens.projection}});
    } else {
      sum.sources = tied ? 0 : 1;
      write_table(tokens.table, tokens.table.shape[0], 0, tied);
    }
    for (const auto* table : {&tokens.positions, &tokens.types}) {
      if (!*table) continue;
      ++sum.sources;
      const std::int64_t first = table == &tokens.positions ? tokens.position_offset : 0;
      write_table(**table, (*table)->shape[0] - first, first);
    }
    segment().sums.push_back(sum);
  }

  void add_patches(const PatchInput& patches) {
    const auto rows = [](const TensorSpec& table) { return table.shape[table.shape.size() - 2]; };
    const std::int64_t positions = patches.positions ? 1 : 0;
    write({.kind = Kind::map, .map = {&patches.projection}});
    segment().sums.push_back({.sources = positions + (patches.projection.biases.empty() ? 0 : 1)});
    if (patches.class_token) {
      write_table(*patches.class_token, 1);
      segment().sums.push_back({.sources = positions + 1});
    }
    if (patches.register_tokens)
      write_table(*patches.register_tokens, rows(*patches.register_tokens));
    if (patches.positions) write_table(*patches.positions, rows(*patches.positions));
  }

  void add_vision(const VisionTower& tower) {
    begin(kVision, tower.blocks.hidden_size);
    write({.kind = Kind::map, .map = {&tower.patches}});
    for (int axis = 0; axis < 2; ++axis)
      write_table(tower.positions, tower.positions.shape[1], axis * tower.positions.shape[1]);
    segment().sums.push_back({.sources = 2});
    add_stack(tower.blocks);
    // What is subtracted and multiplied here is fixed: no change of basis passes.
    if (tower.shift || tower.scale) write({.kind = Kind::read_output});
    vision_projection_ = reader(&read(norm(tower.norm, -1)), tower.projection);
  }

  void add_predictor(const Predictor& predictor) {
    begin(kPredictor, predictor.stack.hidden_size);
    write({.kind = Kind::map, .map = predictor_embedding_});
    write_table(predictor.mask_tokens, 1);
    segment().sums.push_back({});
    reader(add_stack(predictor.stack), predictor.projection);
  }

  // --- blocks ---

  /// @return the norm in which the stack ends; null: none
  NormUse* add_stack(const Stack& stack) {
    origin_ = nullptr;
    if (stack.input_norm) {
      origin_ = &replace_stream(read(norm(*stack.input_norm, -1)));
    }
    for (std::int64_t i = 0; i < stack.n_blocks; ++i) {
      const BlockSpec& spec = stack.block(i);
      block_ = {&spec, segment().stack, i};
      in_block_ = i;
      if (spec.wiring == Wiring::post)
        add_post(spec, i, i + 1 == stack.n_blocks && !stack.final_norm);
      else
        add_pre(spec, i);
      graph_.blocks.push_back(block_);
    }
    in_block_ = -1;
    if (stack.final_norm) return &read(norm(*stack.final_norm, -1));
    return stack.ends_in_norm() ? origin_ : nullptr;
  }

  void add_pre(const BlockSpec& spec, std::int64_t i) {
    NormUse& first = read(norm(spec.attention_norm, i));
    block_.attention_before = &first;
    reader(&first, spec.attention.qkv);
    const bool parallel = spec.wiring == Wiring::parallel;
    if (!parallel) write_sublayer(spec.attention.out, 1, spec.attention_output_norm, i);
    NormUse& second = spec.mlp_norm ? read(norm(*spec.mlp_norm, i)) : first;
    block_.mlp_before = &second;
    read_by_mlp(&second, spec.mlp);
    if (parallel) write_sublayer(spec.attention.out, 1, spec.attention_output_norm, i);
    write_sublayer(spec.mlp.out, experts(spec.mlp), spec.mlp_output_norm, i);
  }

  void add_post(const BlockSpec& spec, std::int64_t i, bool is_last) {
    block_.attention_before = origin_;
    read_directly(reader(origin_, spec.attention.qkv), i);
    write_sublayer(spec.attention.out, 1, spec.attention_output_norm, i);
    origin_ = &replace_stream(read(norm(spec.attention_norm, i)));
    block_.mlp_before = origin_;
    for (const MapUse& map : read_by_mlp(origin_, spec.mlp)) read_directly(map, i);
    write_sublayer(spec.mlp.out, experts(spec.mlp), spec.mlp_output_norm, i);
    if (spec.mlp_norm) origin_ = &read(norm(*spec.mlp_norm, i));
    if (spec.mlp_norm && !is_last) replace_stream(*origin_);
  }

  static std::int64_t experts(const MlpSpec& mlp) {
    return mlp.routing ? mlp.routing->n_experts : 1;
  }
  std::vector<MapUse> read_by_mlp(NormUse* norm, const MlpSpec& mlp) const {
    std::vector<MapUse> maps;
    if (mlp.routing) maps.push_back(reader(norm, mlp.routing->router));
    maps.push_back(reader(norm, mlp.in, experts(mlp)));
    return maps;
  }

  /// The map writes to the stream, or to a norm that does: a segment of its own then.
  void write_sublayer(const LinearSpec& out, std::int64_t copies,
                      const std::optional<NormSpec>& output_norm, std::int64_t block) {
    const Event writes{.kind = Kind::map,
                       .block = block,
                       .map = {&out, copies},
                       .is_attention = &out == &block_.spec->attention.out};
    if (!output_norm) return write(writes);
    NormUse& after = norm(*output_norm, block);
    after.feeds_stream = true;
    const Event reads{.kind = Kind::read_norm, .block = block, .norm = &after};
    write({.kind = Kind::norm, .block = block, .norm = &after});
    const Segment branch{segment().stack, segment().width, {}, {writes, reads}};
    graph_.segments.insert(graph_.segments.end() - 1, branch);
  }

  // --- the end ---

  void end_model(NormUse* end) {
    const auto read_end = [&](const LinearSpec& map, bool tied = false) {
      const MapUse use = reader(end, map, 1, tied);
      if (end == nullptr) read_directly(use, -1), segment().events.back().tied = tied;
      return use;
    };
    if (a_.output_projection) read_end(*a_.output_projection);
    if (a_.pooler) read_end(*a_.pooler);
    if (a_.predictor) predictor_embedding_ = read_end(a_.predictor->embedding);
    if (a_.head) {
      const HeadSpec& head = *a_.head;
      if (head.transform) {
        read_end(head.transform->dense);
        graph_.decoder = reader(&norm(head.transform->norm, -1), head.decoder, 1, head.tied);
      } else if (a_.output_projection) {
        graph_.decoder = {&head.decoder, 1, head.tied};
      } else {
        graph_.decoder = read_end(head.decoder, head.tied);
      }
      return;
    }
    // A class token's projection is the whole answer (CLIP); a pooler's is one beside the norm's.
    if (a_.output_projection || (a_.pooler && a_.final_norm_reads_class_token)) return;
    if (end != nullptr)
      end->is_output = true;
    else
      segment().events.push_back({.kind = Kind::read_output});
  }

  const Architecture& a_;
  Graph graph_;
  NormUse* origin_ = nullptr;  ///< the norm whose output the stream is here, as it is
  BlockUse block_;
  std::int64_t in_block_ = -1;
  MapUse vision_projection_, predictor_embedding_;
};

}  // namespace

Graph graph_of(const Architecture& architecture) { return Builder(architecture).build(); }

}  // namespace deadray::census
