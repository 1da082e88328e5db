#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>

namespace deadray {

/// Tasks 0 … n - 1, given out in ascending order to the threads that call work(). One that comes
/// before all that have failed is always run.
class Tasks {
 public:
  /// @param task  outlives this
  Tasks(std::size_t n, const std::function<void(std::size_t)>& task) : task_(task), end_(n) {}

  /// Runs tasks until none is left to begin.
  void work() noexcept;
  /// Once every thread has returned: throws what the least failed task threw.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void keep(std::size_t i, std::exception_ptr error);

  const std::function<void(std::size_t)>& task_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> end_;  // n, or the first that has failed
  std::mutex mutex_;              // of end_'s changes and error_
  std::exception_ptr error_;
};

}  // namespace deadray
