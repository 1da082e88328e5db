#pragma once

#include "verify/plan/plan.h"

namespace deadray {

/// To be called before the first tensor is made. Where blocks are large, their memory comes in
/// large pages: it is asked for anew for every block.
void prepare_memory(const Architecture& architecture, DType dtype);

/// reckon(), and for large work (kWorthAsking) the rate of a product, measured just now. Where the
/// memory is too short for norms side by side, `options` ask for one after the other.
Plan plan_measurement(const Model& model, const Calibration& calibration,
                      MeasurementOptions& options);

/// Refuses what does not fit the memory, says on standard error what large work will take, and
/// measures, with progress on standard error. Afterwards the plan has the better of the rates
/// before and after: a machine that others use changes meanwhile.
/// @throws ResourceError with the way out (plan_advice.h), and as measure() does
Measurement measure_as_planned(Plan& plan, const Model& model, const Calibration& calibration,
                               MeasurementOptions options, bool quiet);

}  // namespace deadray
