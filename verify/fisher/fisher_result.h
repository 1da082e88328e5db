#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/base/stop_signals.h"
#include "host/prediction/dead_parameters.h"
#include "verify/base/tensors.h"
#include "verify/directional/parameter_directions.h"
#include "verify/measure/measurement.h"

namespace deadray {

/// How far the outputs moved, |z' - z| / |z|: the worst over steps of 1, 10 and 100 times |W|.
struct Movement {
  double dead = 0, random = 0;
};

/// F, the directional Fisher information for a token, of directions of one size.
struct DirectionGroup {
  std::vector<double> dead{}, weight_only{}, random{};

  bool empty() const { return dead.empty(); }
  double worst_dead() const { return largest(dead); }      ///< NaN where one is
  double median_random() const { return median(random); }  ///< NaN where one is
  double ratio() const { return worst_dead() / median_random(); }
};

/// What was measured of one consumer.
struct ConsumerFisher {
  std::string site;
  DeadParameters claim;
  std::string not_measured{};  ///< why; empty where it was measured
  DirectionGroup own{};        ///< directions that move this consumer alone, |dW| = 1
  DirectionGroup shift{};      ///< shifts of beta, |a| = 1; the same for all consumers they move
  /// K-FAC's F of `own`; empty where K-FAC was not asked.
  std::vector<double> kfac_dead{}, kfac_random{};
  /// The worst kernel_residual() of the dead ones of `own`.
  std::optional<double> kernel_residual{};
  std::optional<Movement> movement{};

  bool claimed() const { return claim.family != DeadParameters::Family::none; }
};

/// A direction with F along it.
struct MeasuredDirection {
  ParameterDirection direction;
  std::string site;
  double fisher = 0;
};

struct FisherMeasurement {
  at::ScalarType dtype = at::kDouble;
  std::vector<ConsumerFisher> consumers;  ///< norms in order of evaluation, each with its consumers
  std::vector<MeasuredDirection> directions;  ///< all of them, in order of measurement
  Seconds seconds;
  double kfac_seconds = 0, invariance_seconds = 0;
  std::vector<std::string> notes;
  std::optional<Stopped> stopped;  ///< by a signal: `consumers` has the norms that were done
};

}  // namespace deadray
