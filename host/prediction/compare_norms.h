#pragma once

#include <optional>
#include <span>

#include "host/prediction/predictor.h"

namespace deadray {

/// How two subspaces lie to each other, by their largest principal angle. The three numbers are
/// evaluated apart from each other: near 1 the cosine alone would not resolve the angle.
struct Alignment {
  double abs_cos = 1.0;            ///< 0…1
  double one_minus_abs_cos = 0.0;  ///< resolved down to about 1e-31
  double angle = 0.0;              ///< radians, 0…pi/2, resolved down to about 1e-15
};

/// How far a norm is from another of the same kind and width.
struct NormChange {
  /// Of the predicted dead subspaces: of both v*, or where gamma is practically zero of the spans
  /// of those coordinates. Where one has more dimensions than the other it is 0 for the smaller one
  /// inside the larger. Absent where one of the two norms predicts none, as RMSNorms do.
  std::optional<Alignment> dead;
  double gamma = 0.0;  ///< |gamma - gamma of the first| / |gamma of the first|; may be infinite
};

/// @param first_gamma, gamma  effective scales [hidden_size], finite and not all zero
/// @param first, other        what predict() says of them, both for the same kind of norm
NormChange compare_norms(std::span<const double> first_gamma, const DeadSubspace& first,
                         std::span<const double> gamma, const DeadSubspace& other);

}  // namespace deadray
