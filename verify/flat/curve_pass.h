#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "verify/calibration/calibration.h"
#include "verify/directional/output_keeper.h"
#include "verify/flat/curve_weights.h"
#include "verify/ranks/communicator.h"

namespace deadray::flat {

/// Runs of one model with its parameters on a curve. Each begins at the block where the curve first
/// moves the stream.
class CurvePass {
 public:
  /// All of them outlive this.
  CurvePass(const Model& model, const Calibration& calibration, at::ScalarType dtype,
            Communicator& ranks);

  /// Keeps the streams from block `first` on; once, before anything else.
  void keep_streams(std::int64_t first);

  /// What the head reads. @param entry  Move::entry() of what moves
  Dual output(const Weights& weights, std::int64_t entry, std::int64_t directions);
  /// F along each of the weights' K tangents, over the rows of all ranks.
  std::vector<double> fisher(const WeightsAlong& weights, std::int64_t entry);
  /// F along the curve's own velocity at t.
  double fisher_at(const Move& move, double t);
  /// How far the outputs move, relative, where the curve is at t.
  double movement(const Move& move, double t);

  /// Directions that one pass takes within some 768 MiB. Collective.
  /// @throws ResourceError with the sizes where not even one fits
  std::size_t directions_at_once() const;
  std::int64_t entry_of(const Move& move) const;

  double load_seconds() const { return load_seconds_; }
  /// Each once.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void take_notes(const std::vector<std::string>& notes);

  const Model& model_;
  const Calibration& calibration_;
  at::ScalarType dtype_;
  Communicator& ranks_;
  StreamsByNode streams_;
  double load_seconds_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace deadray::flat
