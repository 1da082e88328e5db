#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "verify/device/backend.h"

namespace deadray {

/// Proof that span(P) is the bottom eigenspace of C at d^3/3 flops instead of about 9 d^3.
struct Certificate {
  double basis_residual = 0.0;  ///< |C P|_2 / |C|_2-estimate: the predicted space is dead when this
                                ///< is at rounding level
  double basis_variance = 0.0;  ///< largest eigenvalue of P^T C P
  double next = 0.0;            ///< lambda_{k+1}: smallest eigenvalue of C on the complement of P
  double next_error = 0.0;      ///< bound on |next - an eigenvalue| from the Lanczos residual
  double largest = 0.0;         ///< lambda_d, from a few Lanczos steps on C
  double proven = 0.0;  ///< no eigenvalue on the complement lies below this, by Sylvester's inertia
                        ///< of a shifted Cholesky: 1e3 times the larger of basis_variance and d u
                        ///< lambda_d; 0: not proven
  double sine_bound = 1.0;  ///< sin of the largest angle between P and the bottom eigenspace is at
                            ///< most this; close to it where proven
  int steps = 0;            ///< Lanczos steps taken on the inverse
  bool factored = false;    ///< Cholesky of C + mu P P^T succeeded; false: C has further null
                            ///< directions and `next` is 0
};

/// @param c [d, d] FP64, finite, on the backend's device   @param basis [d, k] orthonormal columns
/// there; k = 0: the smallest eigenvalue of C itself Stops when `next` is known to 1e-4 relative,
/// at the latest after `max_steps`. Start vector seeded: same input, same output.
Certificate certify(const at::Tensor& c, const at::Tensor& basis, int max_steps = 100,
                    Backend& backend = cpu_backend());

/// sqrt of the smallest eigenvalue of X^T X given as second moments times count; 0 where it is
/// below rounding, NaN where the moments are not finite.
double smallest_singular_value(const at::Tensor& second_moment, std::int64_t count,
                               Backend& backend = cpu_backend());

}  // namespace deadray
