#include "verify/ranks/heartbeat.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace deadray {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBeat = std::chrono::milliseconds(250);

}  // namespace

Heartbeat::Heartbeat(MPI_Comm ring, std::timed_mutex& calls, std::chrono::seconds silence,
                     std::function<void(int)> lost)
    : ring_(ring), calls_(calls), silence_(silence), lost_(std::move(lost)) {
  int rank = 0, size = 1;
  MPI_Comm_rank(ring_, &rank);
  MPI_Comm_size(ring_, &size);
  next_ = (rank + 1) % size;
  before_ = (rank + size - 1) % size;
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Heartbeat::~Heartbeat() {
  ends_ = true;
  thread_.join();
}

/// Sends one beat, and takes those that have come.
/// @return whether any had
bool Heartbeat::exchange() {
  static char beat = 0;  // outlives the sends
  const std::lock_guard lock(calls_);
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Isend(&beat, 1, MPI_CHAR, next_, 0, ring_, &request);
  MPI_Request_free(&request);
  bool any = false;
  for (int here = 1; here != 0;) {
    MPI_Iprobe(before_, 0, ring_, &here, MPI_STATUS_IGNORE);
    char received = 0;
    if (here != 0) MPI_Recv(&received, 1, MPI_CHAR, before_, 0, ring_, MPI_STATUS_IGNORE);
    any = any || here != 0;
  }
  return any;
}

void Heartbeat::run() {
  Clock::time_point heard = Clock::now(), last = heard;
  while (!ends_) {
    std::this_thread::sleep_for(kBeat);
    const bool any = exchange();
    const Clock::time_point now = Clock::now();
    // A whole job may be suspended and go on: then it is this thread that was away.
    const bool was_away = 2 * (now - last) > silence_;
    last = now;
    if (any || was_away) heard = now;
    if (now - heard > silence_) return lost_(before_);
  }
}

}  // namespace deadray
