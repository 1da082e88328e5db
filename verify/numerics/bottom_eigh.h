#pragma once

#include "verify/numerics/eigh.h"

namespace deadray {

/// All eigenvalues of a symmetric matrix, and the eigenvectors of the `count` smallest: a verdict
/// needs no more of a covariance, and the other vectors take two thirds of a full decomposition.
///
/// Eigenvalues come from a tridiagonalisation, vectors from block inverse iteration on one Cholesky
/// factor, shifted to just below the smallest eigenvalue. The two ways share nothing and must
/// agree. A full decomposition is taken instead where the block would not be small beside d, or
/// does not converge (no gap above it).
/// @param c [d, d] FP64 on the CPU, symmetric, finite; may be exactly singular
/// @param count 1 … d
/// @return `vectors` [d, count]; `residual` and `orthogonality` are theirs
/// @throws InternalError where the two ways, the trace or the Frobenius norm contradict the
/// eigenvalues, or the scaled errors exceed 30
Eigendecomposition bottom_eigh(const at::Tensor& c, std::int64_t count);

}  // namespace deadray
