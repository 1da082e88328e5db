#include "verify/base/side_by_side.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>

#include <algorithm>

#include "host/base/threads/tasks.h"

namespace deadray {
namespace {

constexpr double kWorthwhile = 0.7;  // of the threads' time, at the least, is to be work

/// Gives n tasks to a team of OpenMP's, inside which every library keeps to one thread.
void run_in_region(std::int64_t n, std::int64_t workers,
                   const std::function<void(std::int64_t)>& task) {
  const std::function<void(std::size_t)> numbered = [&](std::size_t i) {
    task(static_cast<std::int64_t>(i));
  };
  Tasks tasks(static_cast<std::size_t>(n), numbered);
  const at::ThreadLocalState ours;  // inference mode, gradients
#pragma omp parallel num_threads(static_cast<int>(workers))
  {
    const at::ThreadLocalStateGuard as_ours(ours);
    tasks.work();
  }
  tasks.rethrow();
}

}  // namespace

std::int64_t at_once(std::int64_t n) {
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  const std::int64_t rounds = (n + threads - 1) / threads;  // if all take the same time
  const bool busy = static_cast<double>(n) >= kWorthwhile * static_cast<double>(rounds * threads);
  return busy ? std::min(n, threads) : 1;
}

void run_side_by_side(std::int64_t n, const std::function<void(std::int64_t)>& task) {
  if (const std::int64_t workers = at_once(n); workers > 1) return run_in_region(n, workers, task);
  for (std::int64_t i = 0; i < n; ++i) task(i);
}

void run_on_one_thread(const std::function<void()>& task) {
  if (at::in_parallel_region() || at::get_num_threads() == 1) return task();
  run_in_region(1, 2, [&](std::int64_t) { task(); });  // the second thread goes to sleep
}

void run_side_by_side(std::vector<Work> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Work& a, const Work& b) { return a.cost > b.cost; });
  run_side_by_side(static_cast<std::int64_t>(pieces.size()),
                   [&](std::int64_t i) { pieces[static_cast<std::size_t>(i)].run(); });
}

void run_in_order(const std::vector<Work>& pieces) {
  for (const Work& piece : pieces) piece.run();
}

}  // namespace deadray
