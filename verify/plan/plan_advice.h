#pragma once

#include <cstdint>
#include <string>

#include "verify/plan/plan.h"

namespace deadray {

/// @param available  bytes; 0: unknown, anything fits
bool fits(const Plan& plan, std::int64_t available);

/// What makes a measurement fit that does not, in words that suit every command: each of them
/// alone, or all that there are together; of tokens the most that fit. Nothing is named that does
/// not help, nor fewer tokens than dimensions, which decide nothing.
std::string way_out(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available);

/// @throws ResourceError with the plan's numbers and the way out where it does not fit
void require_memory(const Plan& plan, const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available);

}  // namespace deadray
