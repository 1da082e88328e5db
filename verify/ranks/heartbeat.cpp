#include "verify/ranks/heartbeat.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace deadray {

Heartbeat::Heartbeat(std::function<bool()> exchange, std::chrono::seconds silence,
                     std::function<void()> lost)
    : exchange_(std::move(exchange)), silence_(silence), lost_(std::move(lost)) {
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

void Heartbeat::run() {
  using Clock = std::chrono::steady_clock;
  constexpr auto kBeat = std::chrono::milliseconds(250);
  Clock::time_point heard = Clock::now(), last = heard;
  while (!ends_) {
    std::this_thread::sleep_for(kBeat);
    const bool any = exchange_();
    const Clock::time_point now = Clock::now();
    // A whole job may be suspended and go on: then it is this thread that was away.
    const bool was_away = 2 * (now - last) > silence_;
    last = now;
    if (any || was_away) heard = now;
    if (now - heard > silence_) return lost_();
  }
}

}  // namespace deadray
