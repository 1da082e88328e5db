#include "host/base/threads/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace deadray {
namespace {

constexpr std::size_t kMostThreads = 8;  // files and memory, not arithmetic, bound what runs here

/// Gives out tasks in ascending order. One that comes before all that have failed is always run.
class Tasks {
 public:
  Tasks(std::size_t n, const std::function<void(std::size_t)>& task) : task_(task), end_(n) {}

  void work() noexcept {
    for (std::size_t i = next_++; i < end_; i = next_++) {
      try {
        task_(i);
      } catch (...) {
        keep(i, std::current_exception());
      }
    }
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void keep(std::size_t i, std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (i >= end_) return;
    end_ = i;
    error_ = std::move(error);
  }

  const std::function<void(std::size_t)>& task_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> end_;  // n, or the first that has failed
  std::mutex mutex_;              // of end_'s changes and error_
  std::exception_ptr error_;
};

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
