#include "host/command/run_program.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/version.h"
#include "host/command/command_line.h"
#include "host/hub/hub_program.h"

namespace deadray {
namespace {

constexpr int kClosedPipe = 128 + SIGPIPE;

std::string& process_name() {
  static std::string name = "deadray";
  return name;
}

// What follows does without memory where it has run out.

int fail(ExitCode code, std::string_view message) noexcept {
  write_message_of({process_name(), ": ", message});
  return static_cast<int>(code);
}

int fail_for_memory() noexcept {
  return fail(ExitCode::resources,
              "not enough memory: free some of it, or do less at once (fewer tokens, or one norm "
              "with --site NAME)");
}

/// Of what the system did not do for the C++ library: a thread, a path.
int fail_for_system(std::string_view what) noexcept {
  write_message_of(
      {process_name(), ": ", what, ": the system refused it; try again with less load on it"});
  return static_cast<int>(ExitCode::resources);
}

/// Of what only a defect can throw.
int fail_internally(std::string_view what) noexcept {
  write_message_of({process_name(), ": internal error: ", what.substr(0, what.find('\n')),
                    "; this is a defect of deadray ", version(), ", please report it"});
  return static_cast<int>(ExitCode::internal);
}

/// Inside a catch block: the exit code of what was caught, after its line.
int end_of_caught() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const HubFailed& failed) {  // it has said why
    return failed.exit_code;
  } catch (const ClosedPipe&) {
    return kClosedPipe;
  } catch (const Stopped& stopped) {
    return 128 + stopped.signal;
  } catch (const std::bad_alloc&) {
    return fail_for_memory();
  } catch (const std::system_error& error) {
    return fail_for_system(error.what());
  } catch (const std::exception& error) {
    return fail_internally(error.what());
  } catch (...) {
    return fail_internally("of an unknown kind");
  }
}

std::atomic<bool> running = false, memory_ran_out = false;

[[noreturn]] void note_lack_of_memory() {
  memory_ran_out = true;
  throw std::bad_alloc();
}

/// An exception where none may pass, as in the destructors and threads of libraries. That of
/// lacking memory is not always there to be asked.
[[noreturn]] void end_of_uncaught() noexcept {
  remove_unfinished_files();
  if (std::current_exception()) _exit(end_of_caught());
  _exit(memory_ran_out ? fail_for_memory() : fail_internally("terminated"));
}

/// A library that ends the program itself has said why. libgomp does so when it lacks memory; its
/// code is 1, which would say "refuted".
void end_of_library() noexcept {
  if (!running) return;
  remove_unfinished_files();
  _exit(static_cast<int>(ExitCode::resources));
}

}  // namespace

void name_process(std::string name) { process_name() = std::move(name); }

int run_program(const std::function<int()>& body) {
  std::set_new_handler(note_lack_of_memory);
  std::set_terminate(end_of_uncaught);
  std::atexit(end_of_library);
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond `ulimit -f` is then an error of its write
  running = true;
  const int code = [&] {
    try {
      return body();
    } catch (...) {
      return end_of_caught();
    }
  }();
  running = false;
  return code;
}

}  // namespace deadray
