#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verify/timing/timing_methods.h"

namespace deadray {

/// Other programs' ways, timed by a process that has them loaded (scripts/bench_peers --worker). It
/// is told of one problem by a safetensors file, says in one line of JSON what it can do with it,
/// and then, for each number that it reads, does that once and says the seconds.
class PeerProcess {
 public:
  /// @param program  started as `program --worker FILE --threads N --methods A,B`
  /// @throws ResourceError with its last line where it does not start, or does not say what it can
  /// do
  PeerProcess(const std::filesystem::path& program, const std::filesystem::path& file,
              const std::vector<std::string>& methods, int threads);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  /// A peer that is not there, and why.
  struct Missing {
    std::string method, peer, reason;
  };
  const std::vector<Missing>& missing() const { return missing_; }
  /// They throw ResourceError with the peer's own words where it fails, and all of them once the
  /// process has ended; Stopped after a stop signal. The process must outlive them.
  const std::vector<Contender>& contenders() const { return contenders_; }

 private:
  double seconds_of(std::size_t index);
  std::string read_line();
  void end();

  int process_ = -1, channel_ = -1;
  std::string pending_;  // read, but not yet asked for
  std::vector<Contender> contenders_;
  std::vector<Missing> missing_;
};

/// Writes what peers read of a problem: `rows` [n, d], `covariance` [d, d], `weight`, `bias` [d],
/// FP64; of a model also `input_ids` and, in the metadata, the model's folder and whether its
/// weights are random.
void write_problem(const std::filesystem::path& file, const TimingProblem& problem,
                   const TimedForward* forward, const std::filesystem::path& model);

}  // namespace deadray
