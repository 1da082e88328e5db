#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/prediction/reciprocal_sums.h"

namespace deadray {

/// Directions of a norm's output h that carry no variance whatever the input, read off gamma (and
/// beta) alone.
///
/// LayerNorm: <1/gamma, h> = sum beta/gamma for every input, whatever the deviation is divided by,
/// eps included. So v* = (1/gamma)/|1/gamma| is null for the *centred* covariance. If some
/// |gamma_i| <= tau, the null space is numerically span{e_i : |gamma_i| <= tau} instead; v* lies in
/// it. RMSNorm: only span{e_i}, as a rule empty.
/// Source: arXiv 2606.19491 for v*; the subspace is deadray's own extension.
struct DeadSubspace {
  std::int64_t dimension = 0;             ///< max(1, |S|) for a LayerNorm, |S| for an RMSNorm
  std::vector<std::int64_t> coordinates;  ///< S = {i : |gamma_i| <= tau}, ascending
  /// 2^exponent/gamma [hidden_size], which is v* times inverse_norm. Empty where some gamma_i = 0:
  /// then there is no v*.
  UnsetVector inverse;
  /// c = sum beta/gamma, what <1/gamma, h> equals. Absent for an RMSNorm, and without v*.
  std::optional<double> constant;
  /// beta_i for each i with gamma_i = 0 exactly, ascending: there h_i equals it for every input.
  std::vector<double> zero_shifts;
  double inverse_norm = 0.0;  ///< |inverse|
  int exponent = 0;           ///< not 0 where gamma is outside the safe range of squares
  double tau = 0.0;           ///< absolute tolerance on |gamma_i| that was used
  /// In exact arithmetic no unit vector of the subspace has more variance: 0 for v*, else
  /// d max_S gamma^2.
  double variance_bound = 0.0;
  /// Lower estimate of the variance that rounding h to the deployed dtype leaves:
  /// u^2/3 sum((h_i/gamma_i)^2) / |1/gamma|^2 with E h_i^2 = gamma_i^2 + beta_i^2.
  double deployed_floor = 0.0;
  double gamma_min = 0.0, gamma_max = 0.0;  ///< of |gamma|

  /// v*, the unit vector; empty where `inverse` is. Made when asked for: it would lengthen every
  /// prediction by a third.
  std::vector<double> direction() const;
};

struct PredictOptions {
  /// tau relative to max|gamma|; the default is sqrt(2^-53), for a covariance formed in FP64.
  double relative_tau = 1.0536712127723509e-8;
  /// Unit roundoff u of the dtype in which the model runs, for deployed_floor; the default is
  /// FP32's.
  double deployed_roundoff = 5.9604644775390625e-8;
};

/// What a reader should know of a prediction whose numbers come to the edge of what a double or a
/// float can hold: a clause each, as a rule none.
std::vector<std::string_view> edges_of_range(const DeadSubspace& subspace);

/// Predicts from a norm's parameters alone.
/// @param gamma  effective scale [hidden_size], FP64
/// @param beta   shift [hidden_size], or empty
/// @param site   names gamma's tensor in messages
/// @throws MalformedError as require_sound() does, and for a beta of another length
DeadSubspace predict(NormKind kind, std::span<const double> gamma, std::span<const double> beta,
                     const PredictOptions& options = {}, std::string_view site = "gamma");

}  // namespace deadray
