#pragma once

#include <ATen/ATen.h>

#include <string>

namespace deadray {

/// Eigendecomposition of a symmetric matrix, checked as LAPACK's own tests do: each error below 30
/// in units of d * 2^-52.
struct Eigendecomposition {
  at::Tensor values;      ///< [d], ascending
  at::Tensor vectors;     ///< [d, d], column k for values[k]; bottom_eigh() has the first alone
  double residual = 0.0;  ///< |C V - V diag(values)| / (|C|_1 d eps)
  double orthogonality = 0.0;  ///< |V^T V - 1| / (d eps)
  std::string driver;          ///< e.g. "LAPACK dsyevd"
};

constexpr double kLargestScaledError = 30.0;  ///< the threshold of LAPACK's own tests

/// max_j sum_i |a_ij|; 0 of an empty matrix.
double one_norm(const at::Tensor& matrix);

/// Returns its argument.
/// @throws InternalError when a scaled error exceeds 30 (a broken driver), with both figures
Eigendecomposition expect_accurate(Eigendecomposition result);

/// By LAPACK. The scaled errors are those on a few random vectors: an error in any column shows in
/// each of them. That takes d^2 operations; the whole products would take 4 d^3, a third of the
/// decomposition.
/// @param c [d, d] FP64 symmetric, finite; may be exactly singular
/// @throws InternalError as expect_accurate()
Eigendecomposition eigh(const at::Tensor& c);

}  // namespace deadray
