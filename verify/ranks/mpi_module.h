#pragma once

#include "verify/ranks/communicator.h"

namespace deadray {

/// How ranks watch each other.
struct RankWatch {
  int silence_seconds = 20;  ///< without a sign of life, after which a rank is taken for dead
  int wait_seconds = 3600;   ///< for which a rank waits for the others, at the most
  void (*report)(const char* line) = nullptr;  ///< writes a line on standard error
};

/// The module's one symbol: connects the ranks, once in a process; null for a caller of another
/// build. What it returns lives as long as the process.
/// @param interface  DEADRAY_RANKS_INTERFACE of the caller: a hash of the headers that both share
/// @throws ResourceError where MPI does not start
using MpiEntry = Communicator*(const char* interface, const RankWatch& watch);
constexpr const char* kMpiEntry = "deadray_mpi_ranks";

}  // namespace deadray
