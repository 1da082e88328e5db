#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace deadray {

/// Seconds of one warm prediction of a LayerNorm with beta, against the least that reading gamma
/// can cost.
struct PredictorTiming {
  std::int64_t hidden_size = 0;
  double copy = 0.0;     ///< gamma into a fresh std::vector<double>
  double predict = 0.0;  ///< predict(), its own fresh vector included
};
/// The best of `repetitions` batches, the two taken in turn: what else runs on the machine only
/// ever adds.
PredictorTiming time_predictor(std::int64_t hidden_size, int repetitions = 30);

/// Seconds from the start of a program to its end, output thrown away.
struct ProcessTiming {
  double best = 0.0, median = 0.0;
};
/// Starts it again and again; the files that it reads come from the page cache.
/// @param repetitions  at least 1
/// @throws ResourceError when it cannot be started, and its own error when it fails
ProcessTiming time_process(const std::filesystem::path& program,
                           const std::vector<std::string>& arguments, int repetitions = 100);

/// A program in the folder of this one: `deadray` beside `deadray-verify`.
std::filesystem::path program_beside_this(const char* name);

}  // namespace deadray
