#pragma once

#include <cstdint>
#include <string>

#include "verify/plan/plan.h"

namespace deadray {

/// Whether what the plan takes at its worst moment is available.
/// @param available  bytes; 0: unknown, and then anything fits
bool fits_memory(const Plan& plan, std::int64_t available);

/// What makes a measurement fit that does not, in words that suit every command. It names the
/// changes of which each one suffices alone; where none does, all of them together. Of tokens it
/// names the most that fit, but never fewer than dimensions: those would decide nothing.
std::string way_out(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available);

/// @throws ResourceError with the plan's numbers and the way out where it does not fit
void require_memory(const Plan& plan, const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available);

}  // namespace deadray
