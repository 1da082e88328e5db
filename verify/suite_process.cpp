#include "verify/suite_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "host/command_line.h"
#include "host/error.h"

extern char** environ;

namespace deadray {
namespace {

constexpr int kReport = 3;  // the child's end of the pipe

pid_t start(std::vector<std::string>& arguments, int report) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, report, kReport);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // a terminal's Ctrl-C comes once, through us
  pid_t child = -1;
  const int error = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw ResourceError(fmt::format("no further process can be started: {}", std::strerror(error)));
  return child;
}

/// The signal that asked this process to stop, if one did.
std::optional<int> stop_asked_for() {
  try {
    throw_if_stopped();
  } catch (const Stopped& stopped) {
    return stopped.signal;
  }
  return {};
}

/// Reads until the child's end of the pipe is closed, which its end does.
std::string listen(int pipe, pid_t child) {
  constexpr int kMilliseconds = 100;  // how soon a stop signal is passed on
  std::string message;
  bool passed_on = false;
  for (;;) {
    if (const auto signal = stop_asked_for(); signal && !std::exchange(passed_on, true)) kill(child, *signal);
    pollfd entry{pipe, POLLIN, 0};
    if (poll(&entry, 1, kMilliseconds) <= 0) continue;
    char bytes[4096];
    const ssize_t n = read(pipe, bytes, sizeof bytes);
    if (n > 0) message.append(bytes, static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) return message;
  }
}

int report(ExitCode code, std::string_view message) {
  if (write(kReport, message.data(), message.size()) < 0) write_message(fmt::format("deadray: {}", message));
  return static_cast<int>(code);
}

}  // namespace

ChildResult run_child(std::vector<std::string> arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw ResourceError(fmt::format("no pipe to a further process: {}", std::strerror(errno)));
  pid_t child;
  try {
    child = start(arguments, ends[1]);
  } catch (...) {
    close(ends[0]), close(ends[1]);
    throw;
  }
  close(ends[1]);
  ChildResult result;
  result.message = listen(ends[0], child);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

int report_to_parent(const std::function<int()>& body) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  try {
    return body();
  } catch (const Error& error) {
    return report(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(ExitCode::resources, "not enough memory");
  } catch (const std::exception& error) {
    return report(ExitCode::internal, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace deadray
