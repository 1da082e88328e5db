#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/prediction/dead_parameters.h"
#include "host/prediction/predictor.h"

namespace deadray {

/// How one consumer y = W h + b moves: dW = u r^T, db = s u.
struct ConsumerMove {
  std::string consumer;
  at::Tensor u;        ///< [width] FP64; undefined where `through` is
  at::Tensor through;  ///< a [hidden_size] FP64: u = W a
  at::Tensor r;        ///< [hidden_size] FP64
  double s = 0.0;
  bool transposed = false;  ///< W is stored [hidden_size, width]
};

/// A direction in the space of parameters of one norm and its consumers.
struct ParameterDirection {
  enum class Kind {
    dead,         ///< what dead_parameters() names; where it claims nothing, the same construction
    weight_only,  ///< the same dW, what compensates the constant forgotten
    random,       ///< another r of the same norm: a control
  } kind = Kind::dead;
  std::string consumer;             ///< whose row of the table it belongs to
  std::vector<ConsumerMove> moves;  ///< of that consumer; of all that a shift of beta reaches
  std::string norm;                 ///< stem of the norm whose beta is shifted; empty: none is
  at::Tensor shift;                 ///< a [hidden_size] FP64
  /// A step of t in the shift wants t / (1 + curvature t) in dW: the compensation of a finite
  /// shift, at least 0. 0: all is linear in t.
  double curvature = 0.0;

  /// Whether it comes from a shift of beta, |a| = 1, and so holds for all the consumers that this
  /// moves; else it moves its consumer alone.
  bool of_shift() const { return !moves.empty() && moves.front().through.defined(); }
  double step_of_weights(double t) const { return t / (1.0 + curvature * t); }
};

std::string_view to_string(ParameterDirection::Kind kind) noexcept;

struct DirectionCounts {
  std::int64_t dead =
      2;  ///< for each consumer, of kind dead and, where there is something to forget, weight_only
  std::int64_t controls = 8;  ///< random ones, for each consumer
};

/// Directions to be measured at one norm: for each consumer dead ones, |dW| = |u| |r| = 1, the same
/// with dW alone, and random controls of the same norm of (dW, db). A shift of beta moves several
/// consumers at once: it is drawn for the first of them, |a| = 1, and its controls keep the same a,
/// and with it u = W a, and take another r; where that consumer has directions of its own beside
/// it, these have controls of their own too. Reproducible from the seed and the names alone. The u
/// are never constant over the outputs.
std::vector<ParameterDirection> parameter_directions(
    const NormSite& site, const NormParameters& norm, const DeadSubspace& subspace,
    const std::vector<DeadParameters>& claims, const DirectionCounts& counts, std::uint64_t seed);

}  // namespace deadray
