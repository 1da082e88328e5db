#pragma once

#include <optional>

// SIGINT and SIGTERM end a program at once, with 130 and 143 in the shell, unless it has partial
// results to save.
namespace deadray {

/// The program was asked to stop. run_program() turns it into exit code 128 + signal.
struct Stopped {
  int signal;
};

/// After this call the first stop signal is kept for stop_asked_for(), and a second one ends the
/// program. Call it before other threads start: they inherit that these signals are blocked. So do
/// child processes, which have to unblock them.
/// @throws ResourceError when no thread can be started
void catch_stop_signals();

/// The stop signal that came since catch_stop_signals(); absent while there is none.
std::optional<int> stop_asked_for() noexcept;

/// @throws Stopped once stop_asked_for() has a signal, except after defer_stops()
void throw_if_stopped();

/// From now on throw_if_stopped() does nothing: for a run that may stop in some places only, where
/// it asks stop_asked_for() itself.
void defer_stops() noexcept;

}  // namespace deadray
