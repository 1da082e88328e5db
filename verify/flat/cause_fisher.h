#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "verify/calibration/calibration.h"
#include "verify/fisher/fisher_result.h"
#include "verify/flat/order.h"
#include "verify/measure/model.h"
#include "verify/probe/verdict.h"
#include "verify/ranks/communicator.h"

// The census, measured: for each cause and block the Fisher information along what is flat, beside
// random directions, and outputs after finite steps along the curve.
namespace deadray::flat {

struct CauseOptions {
  std::vector<std::string> causes;  ///< as docs/census.md names them; empty: all
  at::ScalarType dtype = at::kDouble;
  std::int64_t directions = 1, controls = 3;  ///< of each cause and block
  bool invariance = false;                    ///< also finite steps
  bool order = false;                         ///< also F along the curve: gauge, regular, singular
  std::uint64_t seed = 0;
  Communicator* ranks = &one_process();
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

/// What was measured of one cause in one block.
struct CauseFisher {
  std::string cause, stack;
  std::int64_t block = -1;     ///< -1: of no block
  std::int64_t dimension = 0;  ///< of what is flat, by the census
  std::string why;             ///< where it is 0, or where nothing was measured
  DirectionGroup group{};      ///< F along members and controls; empty: not measured
  // Of the first member and the first control.
  std::optional<Movement> movement{};  ///< the worst of sizes 1, 10, 100
  std::optional<Order> order{}, random_order{};
};

struct CauseMeasurement {
  at::ScalarType dtype = at::kDouble;
  std::vector<CauseFisher> causes;  ///< in the order of the census
  Seconds seconds;
  double invariance_seconds = 0, order_seconds = 0;
  std::vector<std::string> notes;
  std::optional<Stopped> stopped;
};

/// @throws ResourceError with the sizes, where not even one direction fits
CauseMeasurement measure_causes(const Model& model, const Calibration& calibration,
                                const CauseOptions& options);

/// Largest movement of the outputs that counts as none. A group element of size 100 may have a
/// condition of 1e4, so that two products with it and its inverse round by 1e-12.
inline constexpr double kStillOnCurve = 1e-9;

/// confirmed, refuted or undetermined as in verify/fisher/fisher_verdict.h; absent where nothing is
/// flat or nothing was measured.
Judgement judge(const CauseFisher& cause, at::ScalarType dtype);
/// refuted when any cause is; else undetermined when any is, or when nothing that is flat was
/// measured; else done.
ExitCode exit_code_of(const CauseMeasurement& measurement);

}  // namespace deadray::flat
