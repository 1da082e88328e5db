#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "verify/calibration/calibration.h"
#include "verify/measure/measurement_options.h"
#include "verify/measure/model.h"
#include "verify/probe/probe.h"
#include "verify/spectrum/residual_stream.h"

namespace deadray {

/// Where the time of a measurement went, in seconds. `load` is the wait for weights; `forward` is
/// what the others leave of the total.
struct Seconds {
  double predict = 0, load = 0, forward = 0, moments = 0, spectrum = 0, total = 0;
};

struct Measurement {
  std::vector<SiteResult> sites;  ///< in order of evaluation
  std::optional<ResidualSpectrum> residual;
  Seconds seconds;
  std::vector<std::string> notes;  ///< what the user should know although it is no error
  /// Set where a signal ended the run early: `sites` then holds the norms that were done, and
  /// `residual` nothing.
  std::optional<Stopped> stopped;
  std::optional<std::int64_t> went_on_from;  ///< the block that a saved run had reached
  bool began_anew = false;                   ///< a saved run lacked the part of some rank
};

/// refuted when any site is, else undetermined when any is, else done.
ExitCode exit_code_of(const Measurement& measurement);

/// Runs the model once over the tokens, on the backend of its weights, and measures the chosen
/// norms as they pass.
/// @throws UnsupportedError for logits of a model without a head; ResourceError for a dump that
/// cannot be written; Stopped where a stop signal came before any norm was measured, once
/// catch_stop_signals() was called
Measurement measure(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options);

}  // namespace deadray
