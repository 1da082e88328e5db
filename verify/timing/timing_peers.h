#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verify/timing/contender.h"
#include "verify/timing/timing_problem.h"

namespace deadray {

/// Other programs' ways, timed by a process that has them loaded (scripts/bench_peers --worker). A
/// safetensors file tells it of one problem. It says in one line of JSON what it can do with it.
/// Then, for each number that it reads, it does that once and says the seconds.
class PeerProcess {
 public:
  /// @param program  started as `program --worker FILE --threads N --methods A,B`
  /// @throws ResourceError where it does not start, or does not say what it can do
  PeerProcess(const std::filesystem::path& program, const std::filesystem::path& file,
              const std::vector<TimingMethod>& methods, int threads);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  /// A peer that is not there, and why.
  struct Missing {
    TimingMethod method = TimingMethod::eigh;
    std::string peer, reason;
  };
  const std::vector<Missing>& missing() const { return missing_; }
  /// A call of one throws ResourceError with the peer's own words where it fails, Stopped after a
  /// stop signal; once the process has ended all of them throw. The process must outlive them.
  const std::vector<Contender>& contenders() const { return contenders_; }

 private:
  void take_offer(const std::filesystem::path& program);
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
