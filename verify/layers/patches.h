#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "verify/calibration/calibration.h"
#include "verify/weights/weights.h"

namespace deadray {

/// Pixels to the stream, [sequences, length, d], on the weights' backend: class token, registers
/// and patches with their positions. Under a ForwardMode it carries its derivatives.
at::Tensor embed_patches(const Weights& weights, const PatchInput& input,
                         const Calibration& calibration, at::ScalarType dtype);

/// Time, row and column of each token, [length, 3] FP32, counted on the grid that the model was
/// made for, whatever the size of the pictures (V-JEPA 2). For models without class token.
at::Tensor patch_coordinates(const PatchInput& input, std::int64_t length);

}  // namespace deadray
