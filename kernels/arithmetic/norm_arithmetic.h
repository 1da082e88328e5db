#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/arithmetic/host_device.h"

/// The arithmetic of LayerNorm and RMSNorm in FP64, one place for host and device. Inputs up to
/// 1e150 in magnitude: their squares must be finite.
namespace deadray::kernels {

enum class NormType { layernorm, rmsnorm, identity };

/// A norm: out = gamma * z + (beta - shift). For LayerNorm z = (x - mean) / sqrt(var + eps), for
/// RMSNorm z = x / sqrt(mean(x^2) + eps), for identity z = x. Pointers are [hidden_size] FP64 in
/// the rows' memory (host or device), or null: gamma 1, beta 0, shift 0.
struct NormArguments {
  NormType type = NormType::layernorm;
  const double* gamma = nullptr;
  const double* beta = nullptr;
  /// Subtracted from the output. With beta itself, moments of the output suffer no cancellation.
  const double* shift = nullptr;
  double eps = 0.0;
};

/// z = ((x - mean) - correction) * scale.
struct RowStatistics {
  double mean, correction, scale;
};

/// Leaves x as it is.
DEADRAY_HOST_DEVICE RowStatistics identity_statistics() { return {0.0, 0.0, 1.0}; }

/// 1/sqrt(variance + eps). It is 0 where both vanish, so that a row without variance becomes 0
/// rather than NaN.
DEADRAY_HOST_DEVICE double norm_scale(double variance, double eps) {
  const double square = variance + eps;
  return square == 0.0 ? 0.0 : 1.0 / std::sqrt(square);
}

/// Second pass of LayerNorm: `sum` and `squares` are of x - mean. Since the mean was rounded, these
/// differences have a mean of their own, `correction`. It is kept apart from the mean, so that
/// sum(z) stays at rounding level even when |mean| exceeds the deviation by far. Source: Chan,
/// Golub, LeVeque, "Algorithms for computing the sample variance", 1983 (eq. 1.7).
DEADRAY_HOST_DEVICE RowStatistics layernorm_statistics(double mean, double sum, double squares,
                                                       std::int64_t hidden_size, double eps) {
  const auto n = static_cast<double>(hidden_size);
  const double correction = sum / n, variance = squares / n - correction * correction;
  // 0 * variance, rather than 0, keeps a NaN.
  return {mean, correction, norm_scale(variance > 0.0 ? variance : 0.0 * variance, eps)};
}

DEADRAY_HOST_DEVICE RowStatistics rmsnorm_statistics(double squares, std::int64_t hidden_size,
                                                     double eps) {
  return {0.0, 0.0, norm_scale(squares / static_cast<double>(hidden_size), eps)};
}

DEADRAY_HOST_DEVICE double normalised(double x, const RowStatistics& row) {
  return ((x - row.mean) - row.correction) * row.scale;
}

/// <v, gamma z> from sums over x - row.mean. With w = v gamma, dot = sum_i w_i (x_i - mean) and
/// weight_sum = sum_i w_i. Nothing cancels: the correction is the rounding of the mean.
DEADRAY_HOST_DEVICE double projection(double dot, double weight_sum, const RowStatistics& row) {
  return (dot - row.correction * weight_sum) * row.scale;
}

/// What is added to gamma * z at coordinate i.
DEADRAY_HOST_DEVICE double norm_offset(const NormArguments& norm, std::int64_t i) {
  return (norm.beta ? norm.beta[i] : 0.0) - (norm.shift ? norm.shift[i] : 0.0);
}

DEADRAY_HOST_DEVICE double norm_gamma(const NormArguments& norm, std::int64_t i) {
  return norm.gamma ? norm.gamma[i] : 1.0;
}

}  // namespace deadray::kernels
