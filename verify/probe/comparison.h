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

/// Orthonormal basis of a predicted subspace, [d, dimension] FP64 (dimension may be 0).
at::Tensor basis_of(const DeadSubspace& subspace, std::int64_t hidden_size);

/// lambda_1, lambda_2, lambda_{k+1}, tr C/d, lambda_d. Of a certificate, `first` is lambda_v, and
/// `second` is 0 where k >= 2.
struct Eigenvalues {
  double first = 0, second = 0, next = 0, mean = 0, last = 0;
};

/// The figures of a verdict once more, of the covariance scaled to unit variances, where rounding
/// is as small in the coordinates of little variance as in the others (verify/spectrum/graded.h).
struct ScaledReading {
  std::int64_t dimension = 0;             ///< with the coordinates whose variance is exactly 0
  std::vector<double> principal_cosines;  ///< in the metric of that matrix, descending
  double next = 0;  ///< its eigenvalue next after the predicted (and inherited) directions
  /// Its own rounding_floor(), or where that is more the scaled-up sum of Measured::row_rounding.
  double floor = 0;
  double gap = 0;  ///< next / max(what is dead below it, the variance along the prediction, floor)
};

/// One reading of a site: exact (norm recomputed in FP64 from its input) or deployed (activations
/// as the model's dtype produced them). What a method does not measure stays empty.
struct Reading {
  std::int64_t tokens = 0, hidden_size = 0;
  /// |<u_1, v*>|, the paper's number; absent where v* does not exist.
  std::optional<double> abs_cos;
  /// Null directions that the input brings along and that its figures count with the k predicted
  /// ones: `principal_cosines`, `eigenvalues.next`, `residual` and `gap` are of all k + inherited.
  std::int64_t inherited = 0;
  /// Of P and the bottom k eigenvectors, descending. Of a certificate they are lower bounds.
  std::vector<double> principal_cosines;
  /// Number of eigenvalues below `floor`. Of a certificate: at least so many.
  std::int64_t dimension = 0;
  /// rounding_floor() of lambda_d. Method::directional takes the median variance along random
  /// directions in its place: lambda_d is at least that.
  double floor = 0;
  /// Largest variance along the predicted basis (v* where nothing is predicted), rows projected
  /// first.
  double lambda_v = 0;
  Eigenvalues eigenvalues;
  double residual = 0;             ///< |C v|/|C|
  double gap = 0;                  ///< lambda_{k+1} / max(lambda_k, floor)
  std::optional<double> chance_p;  ///< P(|cos| >= abs_cos) for a random direction
  /// Method::directional alone: median variance along random directions.
  std::optional<double> random_variance;
  std::vector<std::int64_t> below;  ///< numbers of eigenvalues below 1e-4 … 1e-10 of tr C/d
  std::vector<double> spectrum;     ///< eigenvalues at spectrum_indices(); Method::eigh alone
  std::string driver;
  std::optional<ScaledReading> scaled;  ///< where it was asked for: add_scaled_reading()
};

/// What the measurements of one site's output gave, before any method is applied.
struct Measured {
  std::int64_t tokens = 0, hidden_size = 0;
  /// [d, d] FP64, on the backend's device; undefined for Method::directional.
  at::Tensor covariance{};
  /// [max(1, k)] variances along the basis, or along v* where k = 0, rows projected first;
  /// undefined where neither exists.
  at::Tensor basis_variance{};
  at::Tensor random_variances{};  ///< [K] along seeded random unit directions; may be undefined
  double roundoff = kRoundoff64;  ///< u of the precision in which the activations were formed
  /// [d], like `covariance`: the most variance that rounding each row leaves in each coordinate;
  /// undefined: none. What add_scaled_reading() scales up must be more than that.
  at::Tensor row_rounding{};
  /// [d, k + n], as explained_directions() gives them; undefined: the predicted ones alone.
  at::Tensor explained{};
};

/// Which of d ascending eigenvalues a record keeps: the lowest 32, where a null space shows, and 24
/// in geometric steps to the last.
std::vector<std::int64_t> spectrum_indices(std::int64_t hidden_size);

/// Applies one method to one reading. Odd data are no error here: the verdict tells of a covariance
/// that is zero, of N <= d, of what is not finite.
Reading read(Method method, const DeadSubspace& predicted, const Measured& measured,
             Backend& backend = cpu_backend());

/// Adds `scaled` to a reading of the same data. It stays empty where a coordinate of no variance is
/// not among the directions that are to explain it. Of rows made in FP64 only: what a smaller type
/// rounds is relative to the whole of a number, its mean included, and not to its deviation.
void add_scaled_reading(Method method, const DeadSubspace& predicted, const Measured& measured,
                        Reading& reading, Backend& backend = cpu_backend());

}  // namespace deadray
