#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace deadray {

/// Tells another rank that this one lives, and watches a third, in a thread of its own: a process
/// that is stopped, or a host that is gone, would else be waited for without end.
class Heartbeat {
 public:
  /// @param exchange  sends a sign of life; returns whether any has come since the last time
  /// @param silence   after which the rank that is watched is taken for dead
  /// @param lost      is called then, once
  Heartbeat(std::function<bool()> exchange, std::chrono::seconds silence,
            std::function<void()> lost);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void run();

  std::function<bool()> exchange_;
  std::chrono::seconds silence_;
  std::function<void()> lost_;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace deadray
