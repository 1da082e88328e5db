#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "host/base/error.h"
#include "tests/support/temporary_folder.h"

extern char** environ;

namespace deadray::test {

/// A program that was started; its standard error, and its standard output unless that goes
/// elsewhere, are kept.
class Spawned {
 public:
  /// @param output, errors  where standard output and error go: a descriptor, or -1 to keep it
  explicit Spawned(std::vector<std::string> arguments, int output = -1,
                   const std::filesystem::path& program = DEADRAY_BIN "/deadray", int errors = -1) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (output >= 0)
      posix_spawn_file_actions_adddup2(&actions, output, 1);
    else
      posix_spawn_file_actions_addopen(&actions, 1, (folder_ / "out").c_str(), O_WRONLY | O_CREAT,
                                       0600);
    if (errors >= 0)
      posix_spawn_file_actions_adddup2(&actions, errors, 2);
    else
      posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "err").c_str(), O_WRONLY | O_CREAT,
                                       0600);
    arguments.insert(arguments.begin(), program.filename().string());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawnattr_t attributes;  // no signal blocked, whatever this process blocks
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    EXPECT_EQ(posix_spawn(&process_, program.c_str(), &actions, &attributes, argv.data(), environ),
              0)
        << program;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Spawned() { wait(); }

  pid_t process() const noexcept { return process_; }
  /// Exit code as a shell shows it: 128 + signal when one ended the program.
  int wait() {
    int status = 0;
    if (code_ < 0 && process_ > 0 && waitpid(process_, &status, 0) == process_)
      code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return code_;
  }
  std::string output() { return wait(), read_text(folder_ / "out"); }
  std::string errors() { return wait(), read_text(folder_ / "err"); }

 private:
  TemporaryFolder folder_;
  pid_t process_ = -1;
  int code_ = -1;
};

/// Runs `deadray`, expects the exit code, nothing on standard output, and one line on standard
/// error that holds each of the parts.
inline void expect_failure(ExitCode code, std::vector<std::string> arguments,
                           const std::vector<std::string>& parts) {
  Spawned run(std::move(arguments));
  const std::string errors = run.errors();
  EXPECT_EQ(run.wait(), static_cast<int>(code)) << errors;
  EXPECT_EQ(run.output(), "");
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1) << errors;
  EXPECT_TRUE(errors.starts_with("deadray: ")) << errors;
  for (const std::string& part : parts)
    EXPECT_NE(errors.find(part), std::string::npos) << "no '" << part << "' in: " << errors;
}

}  // namespace deadray::test
