#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/prediction/dead_parameters.h"
#include "host/prediction/predictor.h"

// Directions in the space of parameters of one norm and its consumers y = W h + b. All vectors are
// FP64 on the CPU.
namespace deadray {

/// One consumer moves alone: dW = u r^T, db = s u.
struct ConsumerMove {
  std::string consumer;
  bool transposed = false;  ///< W is stored [hidden_size, width]
  at::Tensor u;             ///< [width]
  at::Tensor r;             ///< [hidden_size]
  double s = 0.0;
};

/// How one consumer takes off W a again, which a shift a of beta adds: dW = (W a) r^T, db = s W a.
struct Compensation {
  std::string consumer;
  bool transposed = false;  ///< W is stored [hidden_size, width]
  at::Tensor r;             ///< [hidden_size]
  double s = 0.0;
};

/// beta moves by a, |a| = 1, and every consumer of the norm compensates.
struct BetaShift {
  /// Stem of the norm whose beta moves. Absent: beta stays, the consumers alone move.
  std::optional<std::string> norm;
  at::Tensor a;                             ///< [hidden_size]
  std::vector<Compensation> compensations;  ///< of every consumer of the norm
  /// A finite step t of beta is compensated by dW = t / (1 + curvature t) (W a) r^T. Not negative,
  /// so that no step meets a pole.
  double curvature = 0.0;

  double step_of_weights(double t) const { return t / (1.0 + curvature * t); }
  /// How this consumer compensates. @throws InternalError where it does not
  const Compensation& of(const std::string& consumer) const;
};

struct ParameterDirection {
  enum class Kind {
    dead,  ///< what dead_parameters() names; of other consumers the direction of the same formula
    weight_only,  ///< the same dW; what takes up the constant, a bias or beta, is forgotten
    random,       ///< another r of the same norm: a control
  } kind = Kind::dead;
  std::string consumer;  ///< whose row of the table it belongs to
  std::variant<ConsumerMove, BetaShift> move;

  /// A shift's figures hold for all the consumers that compensate it.
  bool of_shift() const { return std::holds_alternative<BetaShift>(move); }
};

std::string_view to_string(ParameterDirection::Kind kind) noexcept;

struct DirectionCounts {
  /// For each consumer, of kind dead and, where there is something to forget, as many weight_only.
  std::int64_t dead = 2;
  std::int64_t controls = 8;  ///< for each consumer, of kind random
};

/// The directions to be measured at one norm. For each consumer: dead ones with |dW| = |u| |r| = 1,
/// the same with dW alone, and random controls (dW, db), the k-th of the norm that the k-th dead
/// one has (or would have, where fewer of those are drawn).
///
/// A shift of beta moves several consumers at once. It is drawn for the first of them; its controls
/// keep a, and with it W a, and take another r. A consumer that also has directions of its own has
/// controls of its own for them.
///
/// The directions depend on the seed and the names alone. The u are never constant over the
/// outputs.
std::vector<ParameterDirection> parameter_directions(
    const NormSite& site, const NormParameters& norm, const DeadSubspace& subspace,
    const std::vector<DeadParameters>& claims, const DirectionCounts& counts, std::uint64_t seed);

/// How many of those directions belong to each consumer, in the order of `claims`. Draws nothing.
std::vector<std::int64_t> count_parameter_directions(const NormSite& site,
                                                     const NormParameters& norm,
                                                     const DeadSubspace& subspace,
                                                     const std::vector<DeadParameters>& claims,
                                                     const DirectionCounts& counts);

}  // namespace deadray
