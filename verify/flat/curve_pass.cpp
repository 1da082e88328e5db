#include "verify/flat/curve_pass.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "verify/device/memory.h"
#include "verify/directional/directional_fisher.h"
#include "verify/directional/logit_fisher.h"
#include "verify/forward/block_loader.h"

namespace deadray::flat {

CurvePass::CurvePass(const Model& model, const Calibration& calibration, at::ScalarType dtype,
                     Communicator& ranks)
    : model_(model), calibration_(calibration), dtype_(dtype), ranks_(ranks) {}

void CurvePass::keep_streams(std::int64_t first) {
  KeptStreams kept =
      deadray::keep_streams(model_, calibration_, dtype_, std::max<std::int64_t>(0, first));
  streams_ = std::move(kept.streams);
  load_seconds_ += kept.load_seconds;
  take_notes(kept.notes);
}

Dual CurvePass::output(const Weights& weights, std::int64_t entry, std::int64_t directions) {
  ExecutorOptions options;
  options.dtype = dtype_;
  options.directions = directions;
  Executor executor(model_.architecture, weights, options);
  OutputKeeper keeper;
  executor.run(calibration_, keeper, entry < 0 ? Start{} : Start{entry, streams_.at(entry)});
  load_seconds_ += executor.load_seconds();
  take_notes(executor.notes());
  return keeper.output();
}

std::vector<double> CurvePass::fisher(const WeightsAlong& weights, std::int64_t entry) {
  const auto count = static_cast<std::int64_t>(weights.tangents().size());
  const Dual at_head = output(weights, entry, count);
  const at::Tensor f = output_fisher(model_.architecture, weights, at_head, count);
  return mean_over_ranks(ranks_, {f.const_data_ptr<double>(), f.const_data_ptr<double>() + count},
                         static_cast<double>(at_head.value.size(0)));
}

double CurvePass::fisher_at(const Move& move, double t) {
  const WeightsOnCurve at_t(*model_.weights, move, t);
  WeightsAlong weights(at_t);
  weights.add(std::make_unique<CurveVelocity>(at_t, move, t));
  return fisher(weights, entry_of(move)).front();
}

double CurvePass::movement(const Move& move, double t) {
  const std::int64_t entry = entry_of(move);
  const WeightsOnCurve moved(*model_.weights, move, t);
  const double by = output_movement(ranks_, model_.architecture, *model_.weights,
                                    output(*model_.weights, entry, 0).value, moved,
                                    output(moved, entry, 0).value);
  return std::isnan(by) ? std::numeric_limits<double>::infinity() : by;
}

std::size_t CurvePass::directions_at_once() const {
  constexpr double kBytes = 768.0 * 1024 * 1024, kMost = 16;
  double block = 0;  // the tangents of its weights
  for (const BlockSpec& kind : model_.architecture.block_kinds)
    block = std::max(block, block_bytes(kind, dtype_));
  const double each = block + bytes_of_direction(model_, calibration_, dtype_);
  require_room(model_.weights->backend(), each, fmt::format("{}: a direction takes", model_.name),
               kLessForDirection);
  // As many on every rank: each pass ends in a mean over all.
  const double mine = std::clamp(kBytes / each, 1.0, kMost);
  return static_cast<std::size_t>(-ranks_.largest(-std::floor(mine)));
}

std::int64_t CurvePass::entry_of(const Move& move) const {
  return move.entry(model_.architecture.n_blocks);
}

void CurvePass::take_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes)
    if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(note);
}

}  // namespace deadray::flat
