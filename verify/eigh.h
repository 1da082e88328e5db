#pragma once

#include <ATen/ATen.h>

#include <string>

namespace deadray {

/// Eigendecomposition of a symmetric matrix, checked as LAPACK's own tests do: each error below 30 in units of d * 2^-52.
struct Eigendecomposition {
  at::Tensor values;           ///< [d], ascending
  at::Tensor vectors;          ///< [d, d], column k belongs to values[k]
  double residual = 0.0;       ///< |C V - V diag(values)|_1 / (|C|_1 d eps)
  double orthogonality = 0.0;  ///< |V^T V - 1|_1 / (d eps)
  std::string driver;          ///< e.g. "LAPACK dsyevd"
};

/// @param c [d, d] FP64 symmetric, finite; may be exactly singular
/// @throws InternalError when the scaled errors exceed 30 (a broken driver), with both figures
Eigendecomposition eigh(const at::Tensor& c);

}  // namespace deadray
