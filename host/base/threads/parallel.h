#pragma once

#include <cstddef>
#include <functional>

namespace deadray {

/// How many threads pay for `tasks` tasks of which each thread should have at least `least`: no
/// more than there are processors, and 1 where starting threads would take longer than the work.
std::size_t threads_for(std::size_t tasks, std::size_t least);

/// Runs task(i) for each i below n, on `threads` threads, this one among them. What the tasks do
/// does not depend on the number of threads, errors included: of those that throw, the exception
/// of the least i is thrown here, and tasks after it may not have run.
void run_parallel(std::size_t n, std::size_t threads, const std::function<void(std::size_t)>& task);

}  // namespace deadray
