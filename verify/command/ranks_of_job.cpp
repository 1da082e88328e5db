#include "verify/command/ranks_of_job.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "host/base/stop_signals.h"
#include "host/command/run_program.h"
#include "verify/device/memory.h"

namespace deadray {
namespace {

/// Launchers bind a rank to cores of its own, or to none: then each takes its share of the host's.
void share_cores(const Communicator& ranks) {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return;
  const int share = static_cast<int>(std::thread::hardware_concurrency()) / ranks.ranks_on_host();
  at::set_num_threads(std::clamp(at::get_num_threads(), 1, std::max(share, 1)));
}

}  // namespace

Communicator& ranks_of_job(int threads) {
  Communicator& ranks = connected_ranks();
  if (ranks.size() == 1) return ranks;
  name_process(fmt::format("deadray: rank {} of {} on {}", ranks.rank(), ranks.size(),
                           ranks.hosts()[static_cast<std::size_t>(ranks.rank())]));
  if (threads == 0) share_cores(ranks);
  share_memory(ranks.ranks_on_host());
  defer_stops();
  return ranks;
}

}  // namespace deadray
