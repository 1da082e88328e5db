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
#include "verify/fisher/fisher_verdict.h"
#include "verify/flat/curve_pass.h"
#include "verify/flat/curve_weights.h"
#include "verify/flat/moves.h"

namespace deadray::flat {
namespace {

/// A direction to be measured, of one cause.
struct Direction {
  std::size_t cause;
  bool is_control;
  Move move;
};

class Measuring {
 public:
  Measuring(const Model& model, const Calibration& calibration, const CauseOptions& options)
      : model_(model),
        options_(options),
        calibration_(calibration),
        pass_(model, calibration, options.dtype, *options.ranks) {
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
    if (!measured_.empty()) pass_.keep_streams(measured_.begin()->first);
    if (!measured_.empty() && options_.invariance && options_.dtype != at::kDouble) {
      wide_.emplace(model_, calibration_, at::kDouble, *options_.ranks);
      wide_->keep_streams(measured_.begin()->first);
    }
    std::int64_t done = 0;
    try {
      for (std::int64_t entry = -1; entry <= model_.architecture.n_blocks; ++entry)
        measure_from(entry, done);
    } catch (const Stopped& stopped) {
      done = leave_out_the_rest();
      if (done == 0) throw;
      result_.stopped = stopped;
      result_.notes.push_back(fmt::format("stopped by signal {}: {} of {} causes measured",
                                          stopped.signal, done, total_));
    }
    result_.notes.insert(result_.notes.end(), pass_.notes().begin(), pass_.notes().end());
    result_.seconds.load = pass_.load_seconds();
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

  /// Of a run that was stopped: takes back what is not whole. @return causes that are
  std::int64_t leave_out_the_rest() {
    std::int64_t whole = 0;
    for (const auto& [entry, causes] : measured_)
      for (const std::size_t index : causes) {
        CauseFisher& cause = result_.causes[index];
        const auto has = [](const std::vector<double>& values, std::int64_t wanted) {
          return static_cast<std::int64_t>(values.size()) == wanted;
        };
        if (has(cause.group.dead, options_.directions) &&
            has(cause.group.random, options_.controls)) {
          ++whole;
          continue;
        }
        cause.group = {};
        cause.movement.reset();
        cause.order.reset();
        cause.random_order.reset();
        cause.why = "the run was stopped before";
      }
    return whole;
  }

  /// From where on the cause's first member moves the stream; none where there is no member.
  std::optional<std::int64_t> entry_of(const CauseFisher& cause) const {
    if (cause.stack != "model") return std::nullopt;
    const auto move = move_of(model_, graph_, key_of(cause), options_.seed, 0);
    return move ? std::optional(move->entry(model_.architecture.n_blocks)) : std::nullopt;
  }

  void measure_from(std::int64_t entry, std::int64_t& done) {
    const auto found = measured_.find(entry);
    if (found == measured_.end()) return;
    std::vector<Direction> directions;
    const std::size_t at_once = pass_.directions_at_once();
    for (const std::size_t index : found->second) {
      throw_if_any_stopped(*options_.ranks);
      if (options_.progress) options_.progress(done, total_);
      for (Direction& direction : directions_of(index)) {
        directions.push_back(std::move(direction));
        if (directions.size() == at_once) run(entry, directions), directions.clear();
      }
      if (options_.invariance) move_along(index);
      if (options_.order) find_order(index);
      ++done;
    }
    if (!directions.empty()) run(entry, directions);
  }

  Move member(const Key& key, std::int64_t k) const {
    return *move_of(model_, graph_, key, options_.seed, k);
  }
  Move control(const Key& key, std::int64_t k) const {
    return control_of(member(key, k % options_.directions), *model_.weights, options_.seed,
                      fmt::format("{}/{}/{}/control/{}", key.cause, key.stack, key.block, k));
  }
  std::vector<Direction> directions_of(std::size_t index) const {
    const Key key = key_of(result_.causes[index]);
    std::vector<Direction> all;
    for (std::int64_t k = 0; k < options_.directions; ++k)
      all.push_back({index, false, member(key, k)});
    for (std::int64_t k = 0; k < options_.controls; ++k)
      all.push_back({index, true, control(key, k)});
    return all;
  }

  void run(std::int64_t entry, const std::vector<Direction>& directions) {
    WeightsAlong weights(*model_.weights);
    for (const Direction& direction : directions)
      weights.add(std::make_unique<CurveVelocity>(*model_.weights, direction.move, 0.0));
    const std::vector<double> values = pass_.fisher(weights, entry);
    for (std::size_t k = 0; k < directions.size(); ++k) {
      DirectionGroup& group = result_.causes[directions[k].cause].group;
      (directions[k].is_control ? group.random : group.dead).push_back(values[k]);
    }
  }

  /// Finite steps along the curve of the first member and of the first control.
  void move_along(std::size_t index) {
    const Stopwatch watch;
    const Key key = key_of(result_.causes[index]);
    const Move move = member(key, 0), beside = control(key, 0);
    const double unit = unit_of(move, *model_.weights);
    CurvePass& pass = wide_ ? *wide_ : pass_;
    Movement& movement = result_.causes[index].movement.emplace();
    for (const double size : {1.0, 10.0, 100.0}) {
      throw_if_any_stopped(*options_.ranks);
      movement.dead = std::max(movement.dead, pass.movement(move, move.time_of(size) * unit));
      movement.random = std::max(movement.random, pass.movement(beside, size * unit));
    }
    result_.invariance_seconds += watch.seconds();
  }

  /// F along the same two curves. What is rounding is told by the control's F.
  void find_order(std::size_t index) {
    const Stopwatch watch;
    const Key key = key_of(result_.causes[index]);
    const auto sampled = [&](const Move& move) {
      const double unit = unit_of(move, *model_.weights);
      std::vector<Sample> samples;
      for (const double t : order_grid()) {
        throw_if_any_stopped(*options_.ranks);
        samples.push_back({t, pass_.fisher_at(move, t * unit) * unit * unit});
      }
      return samples;
    };
    std::vector<Sample> random = sampled(control(key, 0));
    std::vector<double> alive;
    for (const Sample& sample : random) alive.push_back(sample.fisher);
    const double floor = median(alive) * dead_ratio_limit(options_.dtype);
    CauseFisher& cause = result_.causes[index];
    cause.order = order_of(sampled(member(key, 0)), floor);
    cause.random_order = order_of(std::move(random), floor);
    result_.order_seconds += watch.seconds();
  }

  const Model& model_;
  const CauseOptions& options_;
  const Calibration& calibration_;
  CurvePass pass_;
  std::optional<CurvePass> wide_;  // in FP64, for finite steps, where the pass is not
  Architecture architecture_;
  census::Graph graph_;
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
