#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/dead_parameters.h"
#include "verify/measurement.h"
#include "verify/parameter_directions.h"

namespace deadray {

struct FisherOptions {
  at::ScalarType dtype = at::kDouble;  ///< float64 or float32: of the pass and its derivatives
  std::string site = "final";
  DirectionCounts counts;
  PredictOptions predict;
  bool kfac = true;                                                     ///< also what K-FAC says, from one sampled label a token
  bool invariance = false;                                              ///< also finite steps, in FP64
  std::uint64_t seed = 0;                                               ///< of directions and labels
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< per norm; may be empty
};

/// How much the outputs moved, |z' - z| / |z|, the worst over steps of 1, 10 and 100 times |W|.
struct Movement {
  double dead = 0, random = 0;
};

/// What was measured of one consumer: F, the directional Fisher information for a token, of each direction drawn.
struct ConsumerFisher {
  std::string site;
  DeadParameters claim;
  std::string not_measured{};  ///< why; empty where it was
  std::vector<double> dead{}, weight_only{}, random{};
  std::vector<double> kfac_dead{}, kfac_random{};  ///< of the same directions; empty where K-FAC has no word for them
  std::optional<double> kernel_residual{};         ///< of the dead ones' [r; s] and K-FAC's A: the worst; see kernel_residual()
  std::optional<Movement> movement{};

  bool claimed() const { return claim.family != DeadParameters::Family::none; }
  double worst_dead() const;
  double median_random() const;
  double ratio() const { return worst_dead() / median_random(); }
};

struct MeasuredDirection {
  ParameterDirection direction;
  std::string site;
  double fisher = 0;
};

struct FisherMeasurement {
  std::vector<ConsumerFisher> consumers;      ///< norms in order of evaluation, each with its consumers
  std::vector<MeasuredDirection> directions;  ///< all of them, in order of measurement
  Seconds seconds;
  double kfac_seconds = 0, invariance_seconds = 0;
  std::vector<std::string> notes;
};

/// Limits of what counts as dead: F of rounding alone, and outputs that rounding alone moved. With <r, h> + s of u relative rounding an
/// element, F is of the order u^2 of a control's (1e-32 in FP64, 1e-14 in FP32); what lies between is room for sums and for r, in which
/// small gamma weigh most. Forgetting the constant gives 1e-4 and more.
inline constexpr double kDeadRatio = 1e-20, kDeadRatioFloat32 = 1e-8, kStill = 1e-10;

/// refuted where a claimed direction is not dead: ratio() or movement beyond those limits.
ExitCode exit_code_of(const FisherMeasurement& measurement, at::ScalarType dtype);

/// Directional Fisher information of consumers of the chosen norms: the head's in closed form, that of the others by forward-mode
/// derivatives carried through the streaming executor, for each norm from its own block on. A model without a head has the Gaussian form.
/// @throws as measure() does; ResourceError where not even one direction fits
FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration, const FisherOptions& options);

}  // namespace deadray
