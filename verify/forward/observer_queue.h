#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "verify/forward/observer.h"
#include "verify/layers/norm.h"

namespace deadray {

/// Runs the steps of a forward pass and shows the observer what they made. What a step has to show
/// waits here until the step has found all the memory that it needs. So a tile counts whole or not
/// at all.
class ObserverQueue {
 public:
  explicit ObserverQueue(Observer& observer) : observer_(observer) {}

  /// Runs a step, then makes the calls that it has queued.
  /// @param counted  the rows of its tile that count (verify/calibration/counted_rows.h);
  /// undefined:
  ///     all
  /// @return false when the device's memory did not suffice; then the observer has counted nothing
  bool run(const std::function<void()>& step, const at::Tensor& counted = {});

  /// For a step: evaluates norms and queues Observer::norms() for the sites that are wanted.
  NormCall norm_call();
  /// For a step: queues Observer::head_input(). @param h  [sequences, length or 1, d]
  void head_input(const at::Tensor& h);
  /// For a step: queues Observer::logits(). @param tile  [n, vocabulary]
  void logits(const at::Tensor& tile) { logits_ = tile; }

 private:
  struct WholeOutput {
    const std::string* site;
    at::Tensor rows;
  };
  at::Tensor evaluate(const Norm& norm, const at::Tensor& x);

  Observer& observer_;
  at::Tensor counted_;  // of the step's tile
  at::Tensor shown_;    // what the last of norms_ reads; undefined: nothing, or one head's part
  std::vector<NormTile> norms_;
  std::vector<WholeOutput> whole_outputs_;
  Dual head_input_;    // undefined: not queued
  at::Tensor logits_;  // undefined: not queued
};

}  // namespace deadray
