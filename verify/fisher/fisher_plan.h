#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "verify/calibration/calibration.h"
#include "verify/fisher/fisher_options.h"
#include "verify/fisher/site_claims.h"

namespace deadray {

/// What one norm asks of a `fisher` run.
struct FisherWork {
  std::int64_t entry = 0;   ///< entry_block()
  std::int64_t hidden = 0;  ///< directions of consumers inside the network
  std::int64_t head = 0;    ///< directions of the head, in closed form
  std::int64_t moved = 0;   ///< directions that take finite steps
};
FisherWork work_of(const Model& model, const SiteClaims& claims, const FisherOptions& options);

/// What a run will take, estimated before it begins.
struct FisherPlan {
  std::int64_t tokens = 0, norms = 0, directions = 0;
  std::int64_t nodes = 0;  ///< at which the residual stream is kept
  /// Bytes of the kept residual streams, in FP64 too where finite steps are wanted.
  double streams = 0;
  /// Bytes of one direction inside the network, beside the streams; 0: none is followed there.
  double direction = 0;
  /// Bytes of the head's decoder, beside the streams; 0: the head is not measured.
  double decoder = 0;
  /// Of the matrix products.
  double flops = 0;
  /// Flops a second of a large product in the run's dtype; 0: not measured, the run is short.
  double gemm_rate = 0;
};

FisherPlan plan_fisher(const Model& model, const Calibration& calibration,
                       const FisherOptions& options, std::span<const FisherWork> work);

/// One line: tokens, norms, directions, bytes, flops, time.
std::string describe(const FisherPlan& plan, const Model& model);

/// @throws ResourceError with the sizes and what to do, where the streams do not fit, or nothing
/// beside them
void require_memory(const FisherPlan& plan, const Model& model);

}  // namespace deadray
