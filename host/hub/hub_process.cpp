#include "host/hub/hub_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/process/spawn.h"
#include "host/base/stop_signals.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "deadray-hub";
constexpr std::size_t kMostOutput = 64 << 20;

/// Both ends close themselves in other programs.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC) != 0)
      throw ResourceError(fmt::format("no pipe can be made: {}", std::strerror(errno)));
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  int read_end() const noexcept { return ends_[0]; }
  int write_end() const noexcept { return ends_[1]; }
  void close_write_end() noexcept { close(ends_[1]); }

 private:
  static void close(int& end) noexcept {
    if (const int open = std::exchange(end, -1); open >= 0) ::close(open);
  }
  int ends_[2] = {-1, -1};
};

bool is_program(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

/// What the child has written, until it closes both.
struct Said {
  std::string output, messages;
};

/// @return false at the end of it
bool read_some(int from, std::string& to) {
  char buffer[1 << 14];
  const ssize_t got = ::read(from, buffer, sizeof buffer);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (to.size() < kMostOutput) to.append(buffer, static_cast<std::size_t>(got));
  return got > 0;
}

Said listen(int output, int messages, pid_t child) {
  Said said;
  pollfd ends[] = {{output, POLLIN, 0}, {messages, POLLIN, 0}};
  std::string* texts[] = {&said.output, &said.messages};
  bool told_to_stop = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    ::poll(ends, 2, /*milliseconds=*/100);
    // From a terminal the signal comes to both; of one that was sent to us alone it must be told.
    if (const auto signal = stop_asked_for(); signal && !std::exchange(told_to_stop, true))
      ::kill(child, *signal);
    for (int i = 0; i < 2; ++i)
      if (ends[i].fd >= 0 && ends[i].revents != 0 && !read_some(ends[i].fd, *texts[i]))
        ends[i].fd = -1;  // poll() passes it by
  }
  return said;
}

/// Its last line, without the name that it begins with.
std::string message_in(std::string_view messages) {
  while (messages.ends_with('\n')) messages.remove_suffix(1);
  if (const std::size_t before = messages.rfind('\n'); before != messages.npos)
    messages.remove_prefix(before + 1);
  for (const std::string_view name : {"deadray: ", "deadray-hub: "})
    if (messages.starts_with(name)) messages.remove_prefix(name.size());
  return std::string(messages);
}

[[noreturn]] void fail(const HubProgram& program, int code, std::string_view messages) {
  if (!program.keep_messages) throw HubFailed{code};
  const bool is_ours = code >= 2 && code <= 6;
  std::string line = message_in(messages);
  if (line.empty()) line = fmt::format("{} ended with {}", kName, code);
  throw Error(is_ours ? static_cast<ExitCode>(code) : ExitCode::internal, line);
}

}  // namespace

fs::path find_hub_program(const HubProgram& program) {
  if (!program.beside.empty() && is_program(program.beside / kName)) return program.beside / kName;
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    if (folder.starts_with('/') && is_program(fs::path(folder) / kName))
      return fs::path(folder) / kName;
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
  }
  throw ResourceError(fmt::format(
      "no {} beside this program or on the PATH: install libcurl's development files, then cmake "
      "-B build -DDEADRAY_HUB=ON && cmake --build build --target {}",
      kName, kName));
}

std::string run_hub(const HubProgram& program, std::vector<std::string> arguments) {
  const fs::path file = find_hub_program(program);
  if (!program.keep_messages) catch_stop_signals();
  arguments.insert(arguments.begin(), kName);
  Pipe output, messages;
  SpawnOptions options{{{STDIN_FILENO, Descriptor::kNowhere}, {STDOUT_FILENO, output.write_end()}}};
  if (program.keep_messages) options.descriptors.push_back({STDERR_FILENO, messages.write_end()});
  const pid_t child = spawn(file.string(), std::move(arguments), options);
  output.close_write_end();
  messages.close_write_end();
  const Said said =
      listen(output.read_end(), program.keep_messages ? messages.read_end() : -1, child);
  const int status = wait_for_end(child);
  throw_if_stopped();
  if (WIFSIGNALED(status))
    throw ResourceError(fmt::format(
        "{} was ended by signal {}: as a rule for lack of memory; free some of it and try again",
        kName, WTERMSIG(status)));
  const int code = WEXITSTATUS(status);
  if (code != 0) fail(program, code, said.messages);
  return said.output;
}

}  // namespace deadray
