#include "verify/flat/cause_fisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "host/base/stopwatch.h"
#include "host/census/causes.h"
#include "host/census/census.h"
#include "host/census/norm_states.h"
#include "verify/directional/directional_fisher.h"
#include "verify/directional/logit_fisher.h"
#include "verify/flat/curve_weights.h"
#include "verify/flat/moves.h"
#include "verify/forward/block_loader.h"

namespace deadray::flat {
namespace {

/// A direction to be measured, of one cause.
struct Direction {
  std::size_t cause;
  bool is_control;
  std::int64_t number;
  Move move;
};

class Measuring {
 public:
  Measuring(const Model& model, const Calibration& calibration, const CauseOptions& options)
      : model_(model), calibration_(calibration), options_(options) {
    architecture_ = model.checkpoint
                        ? as_stored(model.architecture, *model.checkpoint, result_.notes)
                        : model.architecture;
    graph_ = census::graph_of(architecture_);
    census::set_states(graph_, model.stored());
    result_.dtype = options.dtype;
  }

  CauseMeasurement measure() {
    const Stopwatch watch;
    list_causes();
    keep_streams_of_pass();
    std::int64_t done = 0;
    try {
      for (std::int64_t entry = -1; entry <= model_.architecture.n_blocks; ++entry)
        measure_from(entry, done);
    } catch (const Stopped& stopped) {
      if (done == 0) throw;
      result_.stopped = stopped;
      result_.notes.push_back(fmt::format("stopped by signal {}: {} of {} causes measured",
                                          stopped.signal, done, measured_.size()));
    }
    result_.seconds.total = watch.seconds();
    return std::move(result_);
  }

 private:
  bool is_wanted(std::string_view cause) const {
    const auto& causes = options_.causes;
    return causes.empty() || std::find(causes.begin(), causes.end(), cause) != causes.end();
  }

  Key key_of(const CauseFisher& cause) const { return {cause.cause, cause.stack, cause.block}; }

  /// What the census finds, and by the block from which each moves the stream.
  void list_causes() {
    for (const census::Finding& found : census::findings(graph_)) {
      if (!is_wanted(found.cause)) continue;
      CauseFisher cause{std::string(found.cause), std::string(found.stack), found.block,
                        found.dimension, found.why};
      if (cause.dimension > 0) {
        const auto entry = entry_of(cause);
        if (entry)
          measured_[*entry].push_back(result_.causes.size());
        else
          cause.why = cause.stack == "model"
                          ? "no curve is known here that the executor's output depends on"
                          : "not between what the model reads and its output";
      }
      result_.causes.push_back(std::move(cause));
    }
    for (const auto& [entry, causes] : measured_)
      total_ += static_cast<std::int64_t>(causes.size());
  }

  /// From where on the cause's first member moves the stream; none where there is no member.
  std::optional<std::int64_t> entry_of(const CauseFisher& cause) const {
    if (cause.stack != "model") return std::nullopt;
    const auto move = move_of(model_, graph_, key_of(cause), options_.seed, 0);
    return move ? std::optional(move->entry(model_.architecture.n_blocks)) : std::nullopt;
  }

  void keep_streams_of_pass() {
    if (measured_.empty()) return;
    const std::int64_t first = std::max<std::int64_t>(0, measured_.begin()->first);
    KeptStreams kept = keep_streams(model_, calibration_, options_.dtype, first);
    streams_ = std::move(kept.streams);
    result_.seconds.load += kept.load_seconds;
    take_notes(kept.notes);
  }

  void measure_from(std::int64_t entry, std::int64_t& done) {
    const auto found = measured_.find(entry);
    if (found == measured_.end()) return;
    std::vector<Direction> directions;
    const std::size_t at_once = directions_at_once();
    for (const std::size_t index : found->second) {
      throw_if_any_stopped(*options_.ranks);
      if (options_.progress) options_.progress(done, total_);
      for (Direction& direction : directions_of(index)) {
        directions.push_back(std::move(direction));
        if (directions.size() == at_once) run(entry, directions), directions.clear();
      }
      if (options_.invariance) move_along(entry, index);
      ++done;
    }
    if (!directions.empty()) run(entry, directions);
  }

  std::vector<Direction> directions_of(std::size_t index) const {
    const Key key = key_of(result_.causes[index]);
    std::vector<Direction> all;
    for (std::int64_t k = 0; k < options_.directions; ++k)
      all.push_back({index, false, k, *move_of(model_, graph_, key, options_.seed, k)});
    for (std::int64_t k = 0; k < options_.controls; ++k)
      all.push_back({index, true, k, control(key, k)});
    return all;
  }

  Move control(const Key& key, std::int64_t k) const {
    const Move move = *move_of(model_, graph_, key, options_.seed, k % options_.directions);
    return control_of(move, *model_.weights, options_.seed,
                      fmt::format("{}/{}/{}/control/{}", key.cause, key.stack, key.block, k));
  }

  /// A direction takes its stream and tangents of a block's weights.
  std::size_t directions_at_once() const {
    constexpr double kBytes = 768.0 * 1024 * 1024, kMost = 16;
    double block = 0;
    for (const BlockSpec& kind : model_.architecture.block_kinds)
      block = std::max(block, block_bytes(kind, options_.dtype));
    const double each = block + bytes_of_direction(model_, calibration_, options_.dtype);
    return static_cast<std::size_t>(std::clamp(kBytes / each, 1.0, kMost));
  }

  Start start(std::int64_t entry) const {
    return entry < 0 ? Start{} : Start{entry, streams_.at(entry)};
  }

  Dual output_of(const Weights& weights, std::int64_t entry, std::int64_t directions) {
    ExecutorOptions options;
    options.dtype = options_.dtype;
    options.directions = directions;
    Executor executor(model_.architecture, weights, options);
    OutputKeeper keeper;
    executor.run(calibration_, keeper, start(entry));
    result_.seconds.load += executor.load_seconds();
    take_notes(executor.notes());
    return keeper.output();
  }

  void run(std::int64_t entry, const std::vector<Direction>& directions) {
    WeightsAlong weights(*model_.weights);
    for (const Direction& direction : directions)
      weights.add(std::make_unique<CurveVelocity>(*model_.weights, direction.move, 0.0));
    const auto count = static_cast<std::int64_t>(directions.size());
    const Dual output = output_of(weights, entry, count);
    const at::Tensor f = output_fisher(model_.architecture, weights, output, count);
    const std::vector<double> values = mean_over_ranks(
        *options_.ranks, {f.const_data_ptr<double>(), f.const_data_ptr<double>() + count},
        static_cast<double>(output.value.size(0)));
    for (std::size_t k = 0; k < directions.size(); ++k) {
      DirectionGroup& group = result_.causes[directions[k].cause].group;
      (directions[k].is_control ? group.random : group.dead).push_back(values[k]);
    }
  }

  /// Finite steps along the curve of the first member and of the first control.
  void move_along(std::int64_t entry, std::size_t index) {
    const Stopwatch watch;
    CauseFisher& cause = result_.causes[index];
    const Key key = key_of(cause);
    const Move move = *move_of(model_, graph_, key, options_.seed, 0);
    const at::Tensor still = output_of(*model_.weights, entry, 0).value;
    const auto worst = [&](const Move& curve, double (*time)(const Move&, double)) {
      double most = 0;
      for (const double size : {1.0, 10.0, 100.0}) {
        const WeightsOnCurve moved(*model_.weights, curve, time(move, size));
        const double by = output_movement(*options_.ranks, model_.architecture, *model_.weights,
                                          still, moved, output_of(moved, entry, 0).value);
        most = std::isnan(by) ? std::numeric_limits<double>::infinity() : std::max(most, by);
      }
      return most;
    };
    cause.movement.emplace();
    cause.movement->dead = worst(move, [](const Move& m, double size) { return m.time_of(size); });
    cause.movement->random = worst(control(key, 0), [](const Move&, double size) { return size; });
    result_.invariance_seconds += watch.seconds();
  }

  void take_notes(const std::vector<std::string>& notes) {
    for (const std::string& note : notes)
      if (std::find(result_.notes.begin(), result_.notes.end(), note) == result_.notes.end())
        result_.notes.push_back(note);
  }

  const Model& model_;
  const Calibration& calibration_;
  const CauseOptions& options_;
  Architecture architecture_;
  census::Graph graph_;
  StreamsByNode streams_;
  std::map<std::int64_t, std::vector<std::size_t>> measured_;  // by entry
  std::int64_t total_ = 0;
  CauseMeasurement result_;
};

}  // namespace

CauseMeasurement measure_causes(const Model& model, const Calibration& calibration,
                                const CauseOptions& options) {
  return Measuring(model, calibration, options).measure();
}

}  // namespace deadray::flat
