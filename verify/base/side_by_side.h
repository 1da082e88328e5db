#pragma once

#include <cstdint>
#include <functional>
#include <vector>

// Tasks on libtorch's threads, each on one thread: whatever a task asks of libtorch, MKL or oneDNN
// stays on its thread. So no thread waits for another in the middle of its work, and on a machine
// that others use too each takes its share of time.
//
// What is computed does not depend on which thread runs a task. Of several that throw, the
// exception of the first is thrown here; tasks after it may not have run. A call from inside a task
// runs its own tasks in order, on that task's thread.
namespace deadray {

/// Runs task(i) for every i below n, several at a time. The tasks take about the same time. Where n
/// is too small to keep the threads busy they run one after the other, with all threads inside
/// each.
void run_side_by_side(std::int64_t n, const std::function<void(std::int64_t)>& task);

/// A piece of work, and what it takes: seconds in any unit, the same in all of one call.
struct Work {
  double cost = 0;
  std::function<void()> run;
};
/// The same for pieces of different cost. The dearest are first, so that all threads end at about
/// the same time.
void run_side_by_side(std::vector<Work> pieces);
/// One after the other, in the order given.
void run_in_order(const std::vector<Work>& pieces);
/// How many of n tasks of one cost run_side_by_side() runs at the same time.
std::int64_t at_once(std::int64_t n);

/// Runs task(i) for every i below n on as many threads as there are: for tasks that use one thread
/// in any case.
void run_single_threaded(std::int64_t n, const std::function<void(std::int64_t)>& task);
/// The same for one task, which would use several.
void run_on_one_thread(const std::function<void()>& task);

}  // namespace deadray
