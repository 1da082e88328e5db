#pragma once

#include <string>
#include <vector>

#include "verify/directional/output_keeper.h"
#include "verify/fisher/fisher_options.h"
#include "verify/fisher/fisher_result.h"
#include "verify/fisher/site_claims.h"

namespace deadray {

/// What was measured of the consumers of one norm.
struct SiteFisher {
  std::vector<ConsumerFisher> consumers;
  std::vector<MeasuredDirection> directions;
  double load_seconds = 0, kfac_seconds = 0, invariance_seconds = 0;
  std::vector<std::string> notes;  ///< of the passes, for the user; some may repeat
};

/// @param streams  of a run in the dtype of the options, from the norm's block on
/// @param wide     the same in FP64, for finite steps; null where they are not wanted
/// @throws Stopped, ResourceError
SiteFisher measure_site(const Model& model, const Calibration& calibration,
                        const SiteClaims& claims, const StreamsByNode& streams,
                        const StreamsByNode* wide, const FisherOptions& options);

}  // namespace deadray
