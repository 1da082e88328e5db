#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "verify/base/machine_load.h"
#include "verify/device/backend.h"
#include "verify/timing/contender.h"

namespace deadray {

/// What became of one contender on one problem.
struct TimingRow {
  std::int64_t d = 0;
  TimingMethod method = TimingMethod::predict;
  std::string device, model;
  std::optional<Peer> peer;
  int threads = 1;
  std::vector<double> seconds;  ///< of each repetition; empty: skipped, or a stop came first
  std::string skipped;          ///< why
  LoadTimes load{};             ///< while the readings were taken

  bool measured() const { return !seconds.empty(); }
  double median_seconds() const;  ///< of a measured one
};

struct TimedProblem {
  std::int64_t d = 0, n = 0;
  std::string model;
};

/// All that one run has measured so far.
struct TimingRun {
  int repetitions = 0;
  double budget = 0, limit = 0;
  std::vector<TimedProblem> problems;
  std::vector<TimingRow> rows;
  bool complete = false;

  LoadTimes load() const;  ///< of all readings
};

/// The record `deadray/timing/1` of docs/records.md.
nlohmann::ordered_json timing_record(const TimingRun& run, const Backend& backend);

/// A table of the rows, each against deadray's eigh of the same problem and device; then how each
/// cost grows with d, and how busy the machine was meanwhile.
std::string timing_text(const TimingRun& run, bool coloured);

}  // namespace deadray
