#pragma once

#include <string>
#include <vector>

#include "verify/directional/directional_fisher.h"

namespace deadray {

/// How far finite steps along directions move the outputs of one norm's network, in FP64.
class Invariance {
 public:
  /// @param pass  in FP64; outlives this
  explicit Invariance(const FisherPass& pass);
  /// |z' - z| / |z| over all outputs, the worst over steps of 1, 10 and 100 times |W|, W the weight
  /// of the direction's consumer. Infinite where an output is no number.
  /// @throws Stopped
  double movement(const ParameterDirection& direction);
  /// Of the passes, for the user; some may repeat.
  const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  at::Tensor output_of(const Weights& weights);
  const FisherPass& pass_;
  std::vector<std::string> notes_;
  at::Tensor still_;
};

}  // namespace deadray
