#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace deadray {

/// Tells the next rank that this one lives, and watches the one before it, in a thread of its own:
/// a process that is stopped, or a host that is gone, would else be waited for without end.
class Heartbeat {
 public:
  /// @param ring    a communicator of its own
  /// @param calls   is held during every call of MPI
  /// @param silence after which the rank before is taken for dead
  /// @param lost    is called then, from the thread, once
  Heartbeat(MPI_Comm ring, std::timed_mutex& calls, std::chrono::seconds silence,
            std::function<void(int rank)> lost);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void run();
  bool exchange();

  MPI_Comm ring_;
  std::timed_mutex& calls_;
  std::chrono::seconds silence_;
  std::function<void(int)> lost_;
  int next_ = 0, before_ = 0;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace deadray
