#pragma once

#include <ATen/core/Tensor.h>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"
#include "verify/layers/places.h"

namespace deadray {

/// Where the tokens of a run stand: positions of text, the grid of patches; which of them a mask
/// keeps; the number of the picture that each belongs to. A picture is a run of picture tokens.
TokenPlaces token_places(const Architecture& architecture, const Calibration& calibration);

/// Positions of text, [1 or sequences, length] int64: those that the calibration gives, or as
/// `counting` has them.
at::Tensor text_positions(const Calibration& calibration, Counting counting);

}  // namespace deadray
