#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verify/device/backend.h"
#include "verify/timing/contender.h"
#include "verify/timing/timing_problem.h"

namespace deadray {

/// A problem with its data where it is computed.
struct PlacedProblem {
  const TimingProblem* problem;
  Backend* backend;
  at::Tensor rows, covariance, directions, basis;
};
PlacedProblem place(const TimingProblem& problem, Backend& backend);

/// deadray's own contenders for one problem, in the order of kOwnMethods. `predict` and
/// `predict_cold` stand with the CPU alone.
/// @param methods            those that are wanted
/// @param forward            of that backend; null for a synthetic problem
/// @param predict_arguments  of the process that predict_cold times
std::vector<Contender> own_contenders(const std::vector<TimingMethod>& methods,
                                      const PlacedProblem& placed, TimedForward* forward,
                                      const std::vector<std::string>& predict_arguments);

/// Bytes that the problem itself takes.
double problem_bytes(std::int64_t rows, std::int64_t hidden_size);

/// A checkpoint of nothing but this norm, which `deadray predict FOLDER --norm KIND` reads.
void write_norm_folder(const std::filesystem::path& folder, const TimingProblem& problem);

}  // namespace deadray
