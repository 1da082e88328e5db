#include "host/base/threads/tasks.h"

#include <utility>

namespace deadray {

void Tasks::work() noexcept {
  for (std::size_t i = next_++; i < end_; i = next_++) {
    try {
      task_(i);
    } catch (...) {
      keep(i, std::current_exception());
    }
  }
}

void Tasks::keep(std::size_t i, std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (i >= end_) return;
  end_ = i;
  error_ = std::move(error);
}

}  // namespace deadray
