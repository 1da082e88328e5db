#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// Coordinates of the tokens of a sequence, [length, axes] FP32: positions of text, the grid of
/// patches.
at::Tensor token_coordinates(const Architecture& architecture, std::int64_t length);

/// The number of the picture that each token belongs to, [sequences, length], -1 in none; undefined
/// without pictures. A picture is a run of picture tokens.
at::Tensor picture_groups(const Architecture& architecture, const Calibration& calibration);

}  // namespace deadray
