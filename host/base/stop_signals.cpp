#include "host/base/stop_signals.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>

#include "host/base/error.h"

namespace deadray {
namespace {

std::atomic<int> stop_signal = 0;
std::atomic<bool> stops_are_deferred = false;

void wait_for_stop_signals(sigset_t stops) {
  for (int signal = 0;;) {
    if (sigwait(&stops, &signal) != 0) continue;
    if (stop_signal.exchange(signal) != 0) _exit(128 + signal);
  }
}

}  // namespace

// A thread waits for the signals; there is no handler. oneDNN's FP32 products run on a stack inside
// the heap, so a handler's frame would overwrite heap memory.
void catch_stop_signals() {
  static std::once_flag once;
  std::call_once(once, [] {
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stops, nullptr);
    try {
      std::thread(wait_for_stop_signals, stops).detach();
    } catch (const std::system_error& error) {
      throw ResourceError(fmt::format("no further thread can be started: {}", error.what()));
    }
  });
}

std::optional<int> stop_asked_for() noexcept {
  const int signal = stop_signal;
  return signal == 0 ? std::nullopt : std::optional(signal);
}

void defer_stops() noexcept { stops_are_deferred = true; }

void throw_if_stopped() {
  if (stops_are_deferred) return;
  if (const auto signal = stop_asked_for()) throw Stopped{*signal};
}

}  // namespace deadray
