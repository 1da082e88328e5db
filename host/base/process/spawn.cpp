#include "host/base/process/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/base/error.h"

extern char** environ;

namespace deadray {

pid_t spawn(const std::string& program, std::vector<std::string> arguments,
            const SpawnOptions& options) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (const auto& [theirs, ours] : options.descriptors) {
    if (ours == Descriptor::kNowhere)
      posix_spawn_file_actions_addopen(&actions, theirs, "/dev/null", O_RDWR, 0);
    else
      posix_spawn_file_actions_adddup2(&actions, ours, theirs);
  }
  // A signal that is blocked stays blocked in a new program, and then nothing would stop it.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  const int group = options.own_group ? POSIX_SPAWN_SETPGROUP : 0;
  posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | group));
  pid_t child = -1;
  const int error =
      posix_spawn(&child, program.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw ResourceError(fmt::format("{} cannot be started: {}", program, std::strerror(error)));
  return child;
}

int wait_for_end(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

}  // namespace deadray
