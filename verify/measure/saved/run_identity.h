#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "verify/calibration/calibration.h"
#include "verify/measure/measurement_options.h"
#include "verify/measure/model.h"

namespace deadray {

/// Tells values apart that nobody chose to collide, at some GB/s. Undefined: of nothing.
std::uint64_t checksum(const at::Tensor& values);

/// All that decides what a measurement finds: program, model, weights, tokens, options. A file of
/// weights counts as the same as long as its name, size and time of change are.
nlohmann::json run_identity(const Model& model, const Calibration& calibration,
                            const MeasurementOptions& options);

}  // namespace deadray
