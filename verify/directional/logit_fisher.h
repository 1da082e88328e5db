#pragma once

#include <ATen/ATen.h>

#include "host/architecture/architecture.h"
#include "verify/base/forward_mode.h"
#include "verify/device/softmax_variance.h"
#include "verify/ranks/communicator.h"
#include "verify/weights/weights.h"

// What a head makes of the derivatives that reach it. The vocabulary comes in tiles, and each tile
// reads its own rows of the decoder. So neither the decoder nor [n, vocabulary] is in memory whole,
// unless someone asks for load_decoder().
namespace deadray {

/// F_k = mean over rows of Var_p(J_k), J_k = d logits / d k and p the model's own softmax; of a
/// model without a head the Gaussian form, mean |J_k|^2. Where weights.tangents() move the decoder,
/// or a table of tokens that it is tied to, J_k has that part too.
/// @param output      what the decoder reads [n, d] with its derivatives [K, n, d]; undefined
///                    derivatives are 0
/// @param directions  K
/// @param tile_bytes  of the FP64 logits and derivatives of a tile; a tile has 16 entries at least
/// @return [K] FP64 on the CPU   @throws Stopped
at::Tensor output_fisher(const Architecture& architecture, const Weights& weights,
                         const Dual& output, std::int64_t directions,
                         std::int64_t tile_bytes = std::int64_t{128} << 20);

/// |z' - z| / |z|, Frobenius norms over all rows of all ranks, of the logits z of `weights` and z'
/// of `moved`, each row less its mean, which a softmax does not see; of a model without a head of h
/// itself. Collective.
/// @param h, moved_h  what the decoder reads in each [n, d]
double output_movement(Communicator& ranks, const Architecture& architecture,
                       const Weights& weights, const at::Tensor& h, const Weights& moved,
                       const at::Tensor& moved_h);

/// The whole decoder, for the closed form of its own directions and for gradients.
Decoder load_decoder(const Architecture& architecture, const Weights& weights,
                     at::ScalarType dtype);

}  // namespace deadray
