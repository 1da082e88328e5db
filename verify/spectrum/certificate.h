#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "verify/device/backend.h"

namespace deadray {

/// Proof that span(P) is the bottom eigenspace of C at d^3/3 flops instead of about 9 d^3.
struct Certificate {
  /// |C P|_2 over an estimate of |C|_2. The predicted space is dead where this is rounding.
  double basis_residual = 0.0;
  double basis_variance = 0.0;  ///< largest eigenvalue of P^T C P
  double next = 0.0;            ///< lambda_{k+1}: smallest eigenvalue of C on the complement of P
  double next_error = 0.0;      ///< bound on |next - an eigenvalue| from the Lanczos residual
  double largest = 0.0;         ///< lambda_d, from a few Lanczos steps on C
  /// No eigenvalue on the complement lies below this, by Sylvester's inertia of a shifted Cholesky:
  /// kClearGap times the larger of basis_variance and d u lambda_d. 0: not proven.
  double proven = 0.0;
  /// Sine of the largest angle between P and the bottom eigenspace, or more. It is close to that
  /// where the gap is proven.
  double sine_bound = 1.0;
  int steps = 0;  ///< Lanczos steps taken on the inverse
  /// Whether Cholesky of C + mu P P^T succeeded. Where not, C has further null directions and
  /// `next` is 0.
  bool factored = false;
};

/// Lanczos on the inverse stops when `next` is known to 1e-4 relative, at the latest after
/// `max_steps`. Its start vector is seeded: same input, same output.
/// @param c      [d, d] FP64, finite, on the backend's device
/// @param basis  [d, k] orthonormal columns, there too; k = 0: the smallest eigenvalue of C itself
Certificate certify(const at::Tensor& c, const at::Tensor& basis, int max_steps = 100,
                    Backend& backend = cpu_backend());

/// sigma_min(X) from the second moments X^T X / count: 0 where it is below rounding, NaN where the
/// moments are not finite.
double smallest_singular_value(const at::Tensor& second_moment, std::int64_t count,
                               Backend& backend = cpu_backend());

}  // namespace deadray
