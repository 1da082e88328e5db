#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "host/architecture/norm_site.h"
#include "host/prediction/predictor.h"
#include "verify/device/backend.h"

namespace deadray {

/// The null directions of a norm's output that its parameters and its input explain.
///
/// Where the rows x that enter span a subspace only, w is null when gamma w is orthogonal to every
/// row P x: P takes the mean off for a LayerNorm and is 1 for an RMSNorm. Whatever a row is divided
/// by, eps included, <w, h> is then <w, beta>. These w are the null space of
/// A = D_gamma P E[x x^T] P D_gamma, the predicted ones among them. The moment is *not* centred: a
/// row is divided by a deviation of its own, so a direction in which all rows agree in x need not
/// be one in h; and where they agree in h alone, the input does not explain it.
///
/// The rank of A is that of A scaled to unit diagonal (verify/spectrum/graded.h), by the rounding
/// floor of the type in which the rows were made.
/// @param second_moment  E[x x^T] [d, d] FP64, on the backend's device
/// @param roundoff       u of the type of the rows x
/// @return [d, k + n] orthonormal columns: the k predicted ones, then n that the input brings along
at::Tensor explained_directions(NormKind kind, const std::vector<double>& gamma,
                                const DeadSubspace& predicted, const at::Tensor& second_moment,
                                double roundoff, Backend& backend = cpu_backend());

}  // namespace deadray
