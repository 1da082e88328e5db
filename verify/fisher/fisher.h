#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/base/stop_signals.h"
#include "host/prediction/dead_parameters.h"
#include "verify/base/tensors.h"
#include "verify/fisher/parameter_directions.h"
#include "verify/measure/measurement.h"
#include "verify/measure/verdict.h"

namespace deadray {

struct FisherPlan;

struct FisherOptions {
  at::ScalarType dtype = at::kDouble;  ///< float64 or float32: of the pass and its derivatives
  std::string site = "final";
  DirectionCounts counts;
  PredictOptions predict;
  bool kfac = true;         ///< also what K-FAC says, from one sampled label a token
  bool invariance = false;  ///< also finite steps, in FP64
  std::uint64_t seed = 0;   ///< of directions and labels
  std::function<void(std::int64_t done, std::int64_t total)>
      progress;  ///< per norm that has consumers; may be empty
  std::function<void(const FisherPlan&)>
      planned;  ///< once, before the work, if there is any; may be empty
};

/// How much the outputs moved, |z' - z| / |z|, the worst over steps of 1, 10 and 100 times |W|.
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
  std::string not_measured{};     ///< why; empty where it was
  DirectionGroup own{}, shift{};  ///< that move it alone, |dW| = 1; shifts of beta, |a| = 1, the
                                  ///< same for all consumers that they move
  std::vector<double> kfac_dead{},
      kfac_random{};  ///< of the same directions; empty where K-FAC has no word for them
  std::optional<double> kernel_residual{};  ///< of the dead ones' [r; s] and K-FAC's A: the worst;
                                            ///< see kernel_residual()
  std::optional<Movement> movement{};

  bool claimed() const { return claim.family != DeadParameters::Family::none; }
};

/// Limits of what counts as dead: F of rounding alone, and outputs that rounding alone moved. With
/// <r, h> + s of u relative rounding an element, F is of the order u^2 of a control's (1e-32 in
/// FP64, 1e-14 in FP32); what lies between is room for sums and for r, in which small gamma weigh
/// most. Where the constant c is forgotten the ratio is of order (c / |h|)^2. Outputs: a step of
/// 100 |W| rounds W by 100 u |W| sqrt(rank), 1e-13; three orders are left for depth.
inline constexpr double kDeadRatio = 1e-20, kDeadRatioFloat32 = 1e-8, kStill = 1e-10;
inline double dead_ratio_limit(at::ScalarType dtype) {
  return dtype == at::kDouble ? kDeadRatio : kDeadRatioFloat32;
}

/// Of a claim: confirmed; refuted where a direction is not dead, beyond those limits; undetermined
/// where F is no number or its controls are dead too, as those of queries in sequences of one token
/// are. Each group is judged by its own controls, and the worse of the two decides. Absent where
/// nothing is claimed, or nothing was measured.
Judgement judge(const ConsumerFisher& consumer, at::ScalarType dtype);

/// The group with the worse verdict, of two that agree the one with the larger ratio; `own`, empty,
/// where nothing was measured.
const DirectionGroup& decisive_group(const ConsumerFisher& consumer, at::ScalarType dtype);

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
  std::optional<Stopped> stopped;  ///< by a signal: `consumers` holds the norms that were done
};

/// refuted when any claim is, else undetermined when any is or when no norm has a consumer, else
/// done.
ExitCode exit_code_of(const FisherMeasurement& measurement);

/// Directional Fisher information of consumers of the chosen norms: the head's in closed form, that
/// of the others by forward-mode derivatives carried through the streaming executor, for each norm
/// from its own block on. A model without a head has the Gaussian form.
/// @throws as measure() does; ResourceError, before the work, where not even one direction fits
FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration,
                                 const FisherOptions& options);

}  // namespace deadray
