#pragma once

#include <ATen/ATen.h>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// Coordinates of the tokens of a sequence, [length, axes] FP32: positions of text, the grid of
/// patches.
at::Tensor token_coordinates(const Architecture& architecture, std::int64_t length);

/// The number of each token's run of picture tokens, [sequences, length], -1 in none; undefined
/// without pictures.
at::Tensor picture_groups(const Architecture& architecture, const Calibration& calibration);

}  // namespace deadray
