#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/directional/directional_fisher.h"

// K-FAC, the usual approximation of F: for dW = u r^T, db = s u and v = [r; s] it says
// (v^T A v)(u^T G u). A = E[[h; 1] [h; 1]^T] is the second moment of the consumer's input, and
// G = E[g g^T] that of the gradient by its output.
namespace deadray {

/// K-FAC's value for each direction inside the network; absent for shifts of beta, which are no
/// single u r^T. G comes from one label for each token, drawn from the model's own softmax, and has
/// the noise of that draw.
/// @param measured  hidden_fisher() of the same directions
std::vector<std::optional<double>> kfac_estimates(const FisherPass& pass,
                                                  std::span<const ParameterDirection> directions,
                                                  const DirectionalFisher& measured,
                                                  std::uint64_t seed);

/// Why the reverse pass of kfac_estimates() does not fit into memory, which holds the whole decoder
/// and the logits of a tile with their gradients. Empty where it fits.
std::string kfac_obstacle(const Model& model, const Calibration& calibration, at::ScalarType dtype);

/// |A v| / (tr A |v|), v = [r; s]. It is rounding alone where v is in the kernel of A, as
/// [1/gamma; -c] of a LayerNorm is.
/// @param input  [N, d] of this rank; A is of the rows of all. Collective
double kernel_residual(const ConsumerMove& move, const at::Tensor& input,
                       Communicator& ranks = one_process());

}  // namespace deadray
