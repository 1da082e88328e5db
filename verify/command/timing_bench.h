#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/command/command_line.h"
#include "host/command/common_options.h"
#include "verify/measure/model.h"
#include "verify/timing/contender.h"
#include "verify/timing/timing_turns.h"

namespace deadray {

/// What `bench timing` is asked for.
struct TimingOptions {
  std::vector<std::filesystem::path> models;
  std::vector<std::int64_t> dims;  ///< of synthetic problems
  std::vector<TimingMethod> methods;
  std::vector<std::string> devices = {"cpu"};
  Source init = Source::checkpoint;
  std::filesystem::path peers;  ///< program that times others; empty: none
  TurnOptions turns;
  int threads = 0;  ///< 0: all cores
  OutputOptions output;
};

/// Times every problem, writes the record after each, and the table at the end. What is finished is
/// kept where a signal or a failure ends the run.
/// @return the exit code
/// @throws Error, Stopped
int run_timing(const TimingOptions& options);

}  // namespace deadray
