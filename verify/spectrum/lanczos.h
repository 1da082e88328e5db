#pragma once

#include <ATen/ATen.h>

#include <functional>

namespace deadray {

/// Top of the spectrum of a symmetric operator, as a Krylov space sees it.
struct RitzValue {
  double value = 0.0;     ///< never above the largest eigenvalue, but for rounding
  double residual = 0.0;  ///< some eigenvalue lies within this of `value`
  int steps = 0;          ///< applications of the operator
};

/// Lanczos with full reorthogonalisation for the largest eigenvalue on the complement of
/// span(basis). It stops when residual <= tolerance * value, when the complement is exhausted, or
/// after `max_steps`. The start vector is seeded.
/// @param apply  [d] -> [d] FP64, symmetric
/// @param basis  [d, k] FP64 orthonormal columns to keep out, 0 <= k < d; the vectors live on its
///               device
RitzValue largest_eigenvalue(const std::function<at::Tensor(const at::Tensor&)>& apply,
                             const at::Tensor& basis, double tolerance, int max_steps);

}  // namespace deadray
