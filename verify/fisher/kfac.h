#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/fisher/directional_fisher.h"

// What the usual approximation says: F of dW = u r^T, db = s u is about (v^T A v)(u^T G u), v = [r;
// s], A = E[[h; 1] [h; 1]^T] of the consumer's input and G = E[g g^T] of the gradient by its
// output.
namespace deadray {

/// Of directions inside the network, each of `measured`; absent where the direction is no single u
/// r^T (a shift of beta). G from one label a token, drawn from the model's own softmax: an estimate
/// with the noise of that draw.
std::vector<std::optional<double>> kfac_estimates(const FisherPass& pass,
                                                  std::span<const ParameterDirection> directions,
                                                  const DirectionalFisher& measured,
                                                  std::uint64_t seed);

/// Why its reverse pass is not to be afforded: the decoder, and the logits of a tile with their
/// gradients, are in memory whole. Empty where it is.
std::string kfac_obstacle(const Model& model, const Calibration& calibration, at::ScalarType dtype);

/// |A v| / (tr A |v|), v = [r; s]: rounding alone where v is in the kernel of A, as [1/gamma; -c]
/// of a LayerNorm is.
/// @param input  [N, d]
double kernel_residual(const ConsumerMove& move, const at::Tensor& input);

}  // namespace deadray
