#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/prediction/predictor.h"
#include "verify/base/thresholds.h"
#include "verify/device/backend.h"

namespace deadray {

enum class Method { eigh, certificate, directional };
std::string_view to_string(Method method) noexcept;
Method method_from_name(
    std::string_view name) noexcept;  ///< one of the three; Method::directional for any other

/// Orthonormal basis of a predicted subspace, [d, dimension] FP64 (dimension may be 0).
at::Tensor basis_of(const DeadSubspace& subspace, std::int64_t hidden_size);

/// lambda_1, lambda_2, lambda_{k+1}, tr C/d, lambda_d; certificate: first is lambda_v, second 0 for
/// k >= 2
struct Eigenvalues {
  double first = 0, second = 0, next = 0, mean = 0, last = 0;
};

/// One reading of a site: exact (norm recomputed in FP64 from its input) or deployed (activations
/// as the model's dtype produced them). What a method does not measure stays empty.
struct Reading {
  std::int64_t tokens = 0, hidden_size = 0;
  std::optional<double>
      abs_cos;  ///< |<u_1, v*>|, the paper's number; absent when v* does not exist
  std::vector<double> principal_cosines;  ///< of P and the bottom k eigenvectors, descending;
                                          ///< certificate: lower bounds
  std::int64_t dimension = 0;  ///< eigenvalues below `floor`; certificate: at least so many
  double floor =
      0;  ///< rounding_floor() of lambda_d; directional: of the median random variance instead
  double lambda_v = 0;  ///< largest variance along the predicted basis (v* when nothing is
                        ///< predicted), rows projected first
  Eigenvalues eigenvalues;
  double residual = 0;                    ///< |C v|/|C|
  double gap = 0;                         ///< lambda_{k+1} / max(lambda_k, floor)
  std::optional<double> chance_p;         ///< P(|cos| >= abs_cos) for a random direction
  std::optional<double> random_variance;  ///< directional: median variance along random directions
  std::vector<std::int64_t> below;        ///< eigenvalues below 1e-4, 1e-6, 1e-8, 1e-10 of tr C/d
  std::vector<double>
      spectrum;  ///< eigenvalues at spectrum_indices(), for a picture; only eigh has them
  std::string driver;
};

/// What the measurements of one site's output gave, before any method is applied.
struct Measured {
  std::int64_t tokens = 0, hidden_size = 0;
  at::Tensor
      covariance{};  ///< [d, d] FP64, on the backend's device; undefined for Method::directional
  at::Tensor basis_variance{};  ///< [max(1, k)] variances along the basis, or along v* when k = 0,
                                ///< rows projected first; undefined when neither exists
  at::Tensor random_variances{};  ///< [K] along seeded random unit directions; may be undefined
  double roundoff = kRoundoff64;  ///< u of the precision in which the activations were formed
};

/// Which of d ascending eigenvalues a record keeps: the lowest 32, where a null space shows, and 24
/// in geometric steps to the last.
std::vector<std::int64_t> spectrum_indices(std::int64_t hidden_size);

/// Applies one method to one reading. Never throws for odd data: zero covariance, N <= d and the
/// like end in the verdict.
Reading read(Method method, const DeadSubspace& predicted, const Measured& measured,
             Backend& backend = cpu_backend());

}  // namespace deadray
