#include "verify/suite/suite_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/process/spawn.h"
#include "host/base/stop_signals.h"

namespace deadray {
namespace {

constexpr int kReport = 3;  // the child's end of the pipe

/// Reads until the child closes its end of the pipe, at the latest by ending.
std::string listen(int pipe, pid_t child) {
  constexpr int kMilliseconds = 100;  // how soon a stop signal is passed on
  std::string message;
  bool passed_on = false;
  for (;;) {
    if (const auto signal = stop_asked_for(); signal && !std::exchange(passed_on, true))
      kill(child, *signal);
    pollfd entry{pipe, POLLIN, 0};
    if (poll(&entry, 1, kMilliseconds) <= 0) continue;
    char bytes[4096];
    const ssize_t n = ::read(pipe, bytes, sizeof bytes);
    if (n > 0) message.append(bytes, static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) return message;
  }
}

/// In the child: whether the parent's end of the pipe is closed.
bool parent_is_gone() {
  pollfd entry{kReport, 0, 0};
  return poll(&entry, 1, 0) > 0 && (entry.revents & POLLERR) != 0;
}

int report(ExitCode code, std::string_view message) {
  ssize_t count;
  do count = write(kReport, message.data(), message.size());
  while (count < 0 && errno == EINTR);
  if (count < 0) write_message_of({"deadray: ", message});
  return static_cast<int>(code);
}

}  // namespace

ChildResult run_child(std::vector<std::string> arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw ResourceError(fmt::format("no pipe to a further process: {}", std::strerror(errno)));
  pid_t child = -1;
  try {
    child = spawn(
        "/proc/self/exe", std::move(arguments),
        {{{STDIN_FILENO, Descriptor::kNowhere}, {STDOUT_FILENO, STDERR_FILENO}, {kReport, ends[1]}},
         /*own_group=*/true});
  } catch (...) {
    close(ends[0]), close(ends[1]);
    throw;
  }
  close(ends[1]);
  ChildResult result;
  result.message = listen(ends[0], child);
  const int status = wait_for_end(child);
  close(ends[0]);  // not before: a child that still writes there would be killed
  result.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

int report_to_parent(const std::function<int()>& body) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (parent_is_gone()) return 128 + SIGTERM;  // before it could be asked to send that signal
  try {
    return body();
  } catch (const Error& error) {
    return report(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(ExitCode::resources, "not enough memory");
  } catch (const std::system_error& error) {
    return report(ExitCode::resources, error.what());
  } catch (const std::exception& error) {
    return report(ExitCode::internal, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace deadray
