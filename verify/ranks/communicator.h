#pragma once

#include <span>
#include <string>
#include <vector>

namespace deadray {

/// The processes that share one measurement: each takes a slice of the calibration, and what they
/// sum up is put together. Every function but the plain questions is collective: all ranks call it,
/// in the same order, with values of the same length.
/// @throws ResourceError where a rank cannot be reached
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// This rank's number among those of its host, which share memory, cores and devices.
  virtual int rank_on_host() const = 0;
  virtual int ranks_on_host() const = 0;
  /// The host's name of every rank.
  virtual const std::vector<std::string>& hosts() const = 0;

  /// On `root`, values become the sum over all ranks; on the others they are undefined afterwards.
  virtual void sum_to(int root, std::span<double> values) = 0;
  /// Values become those of `root`.
  virtual void broadcast(int root, std::span<double> values) = 0;
  /// The bytes of every rank, on every rank.
  virtual std::vector<std::string> gather(const std::string& bytes) = 0;
  /// Values become the sum over all ranks, with the same bits on each.
  void all_sum(std::span<double> values);
  /// The largest of all ranks' values.
  double largest(double value);
  /// Returns when all ranks have come.
  void meet() { gather({}); }

  /// The end of a run that every rank has reached; nothing may be called after it.
  virtual void finish() = 0;
  /// Ends all ranks at once, with this exit code.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

/// Of a process that shares its work with nobody: rank 0 of 1.
Communicator& one_process();

/// The mean over all rows of all ranks of several quantities.
/// @param means  over this rank's rows   @param rows  how many those are; 0: `means` do not count
/// @return the same bits on each rank; what was given where there is one rank
std::vector<double> mean_over_ranks(Communicator& ranks, std::vector<double> means, double rows);

/// The notes of all ranks, each once. Collective.
std::vector<std::string> notes_of_ranks(Communicator& ranks, const std::vector<std::string>& notes);

/// A stop signal that came to any of the ranks stops all of them here: collective.
/// @throws Stopped
void throw_if_any_stopped(Communicator& ranks);

}  // namespace deadray
