#include "verify/base/side_by_side.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>

#include <algorithm>
#include <cmath>

#include "host/base/threads/tasks.h"

#ifndef _OPENMP
#error "compile with -fopenmp, see CMakeLists.txt: the tasks would run one after the other"
#endif

namespace deadray {
namespace {

constexpr double kWorthwhile = 0.7;  // of the threads' time, at the least, is to be work

int threads_here() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

/// Gives n tasks to a team of OpenMP's, inside which every library keeps to one thread. The team
/// has all threads: those that a smaller one leaves out would end.
void run_in_region(std::int64_t n, const std::function<void(std::int64_t)>& task) {
  const std::function<void(std::size_t)> numbered = [&](std::size_t i) {
    task(static_cast<std::int64_t>(i));
  };
  Tasks tasks(static_cast<std::size_t>(n), numbered);
  const at::ThreadLocalState ours;  // inference mode, gradients
#pragma omp parallel num_threads(threads_here())
  {
    const at::ThreadLocalStateGuard as_ours(ours);
    tasks.work();
  }
  tasks.rethrow();
}

void run_here(std::int64_t n, const std::function<void(std::int64_t)>& task) {
  for (std::int64_t i = 0; i < n; ++i) task(i);
}

/// As many tasks of the dearest one's cost take as long as all pieces.
std::int64_t in_dearest(const std::vector<Work>& pieces) {
  double sum = 0, most = 0;
  for (const Work& piece : pieces) sum += piece.cost, most = std::max(most, piece.cost);
  return most > 0 ? static_cast<std::int64_t>(std::floor(sum / most)) : 0;
}

}  // namespace

std::int64_t at_once(std::int64_t n) {
  const std::int64_t threads = threads_here(), rounds = (n + threads - 1) / threads;
  const bool busy = static_cast<double>(n) >= kWorthwhile * static_cast<double>(rounds * threads);
  return busy ? std::clamp<std::int64_t>(n, 1, threads) : 1;
}

void run_side_by_side(std::int64_t n, const std::function<void(std::int64_t)>& task) {
  (at_once(n) > 1 ? run_in_region : run_here)(n, task);
}

void run_side_by_side(std::vector<Work> pieces) {
  if (at_once(in_dearest(pieces)) == 1) return run_in_order(pieces);
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Work& a, const Work& b) { return a.cost > b.cost; });
  run_in_region(static_cast<std::int64_t>(pieces.size()),
                [&](std::int64_t i) { pieces[static_cast<std::size_t>(i)].run(); });
}

void run_in_order(const std::vector<Work>& pieces) {
  for (const Work& piece : pieces) piece.run();
}

void run_single_threaded(std::int64_t n, const std::function<void(std::int64_t)>& task) {
  (n > 1 && threads_here() > 1 ? run_in_region : run_here)(n, task);
}

void run_on_one_thread(const std::function<void()>& task) {
  if (threads_here() == 1) return task();
  run_in_region(1, [&](std::int64_t) { task(); });  // the other threads go to sleep
}

}  // namespace deadray
