#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "verify/probe/probe.h"

namespace deadray {

struct MeasurementOptions {
  ProbeOptions probe;
  std::string site = "final";
  bool residual = false;       ///< also the singular values of the residual stream
  std::filesystem::path dump;  ///< empty: none
  bool dump_logits = false;
  /// Empty: none. Else the run is saved there at the end of a block, after so many seconds since
  /// the last time and when a stop signal comes, and goes on from what is there. The signal has to
  /// wait for that: defer_stops().
  std::filesystem::path saved_run;
  double save_every_seconds = 600;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< per block; may be empty
};

}  // namespace deadray
