#pragma once

#include "verify/calibration/calibration.h"
#include "verify/fisher/fisher_options.h"
#include "verify/fisher/fisher_result.h"

namespace deadray {

/// Directional Fisher information of the consumers of the chosen norms. The head's has a closed
/// form. For the others, forward-mode derivatives are carried through the streaming executor, for
/// each norm from its own block on. A model without a head has the Gaussian form.
/// @throws as measure() does; ResourceError, before the work, where not even one direction fits
FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration,
                                 const FisherOptions& options);

}  // namespace deadray
