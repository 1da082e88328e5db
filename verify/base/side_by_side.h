#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace deadray {

/// Runs task(i) for every i below n, several at a time, each on one thread of libtorch's: whatever
/// a task asks of libtorch, MKL or oneDNN stays on its thread. So no thread waits for another in
/// the middle of its work, and on a machine that others use too each takes its share of time.
///
/// Where n is too small to keep the threads busy, the tasks run one after the other here, with all
/// threads inside each. So do those of a call from inside a task, on that task's thread.
///
/// What is computed does not depend on which thread runs a task. Of several that throw, the
/// exception of the least i is thrown here.
void run_side_by_side(std::int64_t n, const std::function<void(std::int64_t)>& task);

/// Runs a task on one thread alone, this or another, whatever it asks of libtorch, MKL or oneDNN.
void run_on_one_thread(const std::function<void()>& task);

/// How many of n tasks run_side_by_side() runs at the same time.
std::int64_t at_once(std::int64_t n);

/// A piece of work, and what it takes: seconds in any unit, the same in all of one call.
struct Work {
  double cost = 0;
  std::function<void()> run;
};

/// The same for pieces of different cost. The dearest begin first, so that all threads end at about
/// the same time.
void run_side_by_side(std::vector<Work> pieces);

/// One after the other, on this thread, in the order given.
void run_in_order(const std::vector<Work>& pieces);

}  // namespace deadray
