#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "verify/calibration/calibration.h"
#include "verify/measure/measurement.h"

namespace deadray {

inline constexpr std::int64_t kReverseTileTokens =
    512;  ///< whose graph stands at once, rounded to whole sequences (at least one)

/// u^T G u of consumers, G = E[g g^T], g the gradient of the log-likelihood of a label drawn from
/// the model's own softmax (one a token; from a unit Gaussian about the output where there is no
/// head) by the consumer's output: the second factor of K-FAC. Reverse mode, one block's graph at a
/// time: the blocks run again from the streams that entered them, the last first.
/// @param streams  [N, d] by node, from the first block of interest to n_blocks, each of the dtype
/// of the pass
/// @param u        by consumer, [K, width]
/// @return by consumer, [K] FP64
std::map<std::string, at::Tensor> output_gradient_moments(
    const Model& model, const Calibration& calibration,
    const std::map<std::int64_t, at::Tensor>& streams, const std::map<std::string, at::Tensor>& u,
    std::uint64_t seed);

}  // namespace deadray
