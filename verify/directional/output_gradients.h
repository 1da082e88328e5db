#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "verify/calibration/calibration.h"
#include "verify/measure/measurement.h"

namespace deadray {

/// Tokens of a tile whose graph is in memory at once, rounded to whole sequences (at least one).
inline constexpr std::int64_t kReverseTileTokens = 512;

/// Sums over tokens of (g^T u)^2, the second factor of K-FAC: g is the gradient of a label's
/// log-likelihood by the consumer's output. The labels are drawn from the model's own softmax, one
/// for each token that counts; without a head, from a unit Gaussian about the output. Reverse mode,
/// with the graph of one block at a time: the blocks run again from the streams that entered them,
/// the last first.
/// @param streams  [N, d] by node, from the first block of interest to n_blocks, each of the dtype
/// of the pass
/// @param u        by consumer, [K, width]
/// @return by consumer, [K] FP64
std::map<std::string, at::Tensor> output_gradient_sums(
    const Model& model, const Calibration& calibration,
    const std::map<std::int64_t, at::Tensor>& streams, const std::map<std::string, at::Tensor>& u,
    std::uint64_t seed);

}  // namespace deadray
