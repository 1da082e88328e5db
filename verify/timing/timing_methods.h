#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "verify/device/backend.h"
#include "verify/timing/timing_problem.h"

namespace deadray {

/// A program that is not ours, on the same data.
struct Peer {
  std::string name;     ///< "scipy evr"
  std::string version;  ///< of the library
  std::string kernel;   ///< of its BLAS, as that names it; empty: not known
};

/// One way to the answer, ready to be timed on one problem.
struct Contender {
  std::string method, device = "cpu";
  std::optional<Peer> peer;  ///< absent: deadray itself
  int threads = 1;           ///< that it uses
  double bytes = 0;  ///< further memory that a call takes, upper estimate, where it is computed
  std::function<double()> run;        ///< one call; its seconds
  std::function<double()> available;  ///< bytes that may be taken there now
};

/// Names of deadray's own methods, in the order of their costs.
extern const std::vector<std::string> kTimingMethods;

/// Where a problem is computed: the data as they lie there.
struct PlacedProblem {
  const TimingProblem* problem;
  Backend* backend;
  at::Tensor rows, covariance, directions, basis;
};
PlacedProblem place(const TimingProblem& problem, Backend& backend);

/// deadray's own contenders for one problem. `predict` and `predict_cold` belong to the host alone
/// and stand with the CPU.
/// @param folder   holds what `deadray predict ARGUMENTS` reads, for predict_cold
/// @param forward  of that backend; null for a synthetic problem
std::vector<Contender> own_contenders(const std::vector<std::string>& methods,
                                      const PlacedProblem& placed, TimedForward* forward,
                                      const std::vector<std::string>& predict_arguments);

/// Bytes that the problem itself takes.
double problem_bytes(std::int64_t rows, std::int64_t hidden_size);

/// A checkpoint of nothing but this norm, which `deadray predict FOLDER --norm KIND` reads.
void write_norm_folder(const std::filesystem::path& folder, const TimingProblem& problem);

}  // namespace deadray
