#pragma once

#include <nlohmann/json_fwd.hpp>

#include "verify/plan/plan.h"

namespace deadray {

/// The record `deadray/plan/1` of docs/records.md: what `verify --dry-run` says.
/// @param available  bytes; 0: unknown
nlohmann::ordered_json plan_record(const Plan& plan, const Model& model,
                                   const Calibration& calibration,
                                   const MeasurementOptions& options, std::int64_t available);

}  // namespace deadray
