#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "verify/fisher/fisher.h"

namespace deadray {

/// What one norm asks of a `fisher` run.
struct FisherWork {
  std::int64_t entry = 0;   ///< entry_block()
  std::int64_t hidden = 0;  ///< directions of consumers inside the network
  std::int64_t head = 0;    ///< directions of the head, in closed form
  std::int64_t moved = 0;   ///< directions that take finite steps
};

/// What a run will take, reckoned before it begins. Bytes are what is kept all along, and the least
/// that must fit beside it; flops are those of the matrix products.
struct FisherPlan {
  std::int64_t tokens = 0, norms = 0, directions = 0, nodes = 0;
  double streams = 0;    ///< bytes of the residual streams that are kept, at `nodes` nodes; in FP64
                         ///< too where finite steps are wanted
  double direction = 0;  ///< bytes of one direction inside the network; 0: none is followed there
  double decoder = 0;    ///< bytes of the head's decoder; 0: the head is not measured
  double flops = 0;
  double gemm_rate =
      0;  ///< flops a second of a large product in the run's dtype; 0: too little work to ask
};

FisherPlan plan_fisher(const Model& model, const Calibration& calibration,
                       const FisherOptions& options, std::span<const FisherWork> work);

/// One line: tokens, norms, directions, bytes, flops, time.
std::string describe(const FisherPlan& plan, const Model& model);

/// @throws ResourceError with the sizes and what to do, where the streams do not fit, or nothing
/// beside them
void require_memory(const FisherPlan& plan, const Model& model);

}  // namespace deadray
