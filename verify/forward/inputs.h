#pragma once

#include <ATen/core/Tensor.h>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"
#include "verify/weights/weights.h"

// What enters a stack of blocks, but for pixels: verify/layers/patches.h, vision_tower.h. To be
// called inside Backend::load(): weights are read on the way.
namespace deadray {

/// @return [sequences, length, d] on the weights' backend; under a ForwardMode with its derivatives
at::Tensor embed_tokens(const Weights& weights, const Architecture& architecture,
                        const Calibration& calibration, at::ScalarType dtype);

/// What V-JEPA's predictor reads. Every token is there twice: as context, made of the encoder's
/// output, and as target, a mask token at the same place.
/// @param stream  [sequences, length, d], what the encoder's last block left
/// @return [sequences, 2 length, d of the predictor]
at::Tensor embed_for_predictor(const Weights& weights, const Architecture& architecture,
                               const at::Tensor& stream, at::ScalarType dtype);

}  // namespace deadray
