#include "host/base/threads/parallel.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

#include "host/base/threads/tasks.h"

namespace deadray {
namespace {

constexpr std::size_t kMostThreads = 8;  // files and memory, not arithmetic, bound what runs here

}  // namespace

std::size_t threads_for(std::size_t tasks, std::size_t least) {
  const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(tasks / least, 1, std::min(processors, kMostThreads));
}

void run_parallel(std::size_t n, std::size_t threads,
                  const std::function<void(std::size_t)>& task) {
  Tasks tasks(n, task);
  {
    std::vector<std::jthread> others;
    try {
      while (others.size() + 1 < std::min(threads, n)) others.emplace_back([&] { tasks.work(); });
    } catch (const std::system_error&) {
      // No further thread may be started: those that run do all.
    }
    tasks.work();
  }
  tasks.rethrow();
}

}  // namespace deadray
