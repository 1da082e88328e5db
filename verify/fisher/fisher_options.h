#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>

#include "host/prediction/predictor.h"
#include "verify/directional/parameter_directions.h"
#include "verify/ranks/communicator.h"

namespace deadray {

struct FisherPlan;

struct FisherOptions {
  at::ScalarType dtype = at::kDouble;  ///< of the pass and its derivatives: float64 or float32
  std::string site = "final";
  DirectionCounts counts;
  PredictOptions predict;
  bool kfac = true;         ///< also what K-FAC says, from one sampled label for each token
  bool invariance = false;  ///< also finite steps, in FP64
  std::uint64_t seed = 0;   ///< of directions and labels
  /// The processes that measure the same directions on other tokens.
  Communicator* ranks = &one_process();
  /// Called before each norm that has consumers; may be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Called once before the work, if there is any; may be empty.
  std::function<void(const FisherPlan&)> planned;
};

}  // namespace deadray
