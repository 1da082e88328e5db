#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace deadray {

/// What the child has as its descriptor `theirs`: a copy of our `ours`, or /dev/null.
struct Descriptor {
  static constexpr int kNowhere = -1;
  int theirs, ours;
};

struct SpawnOptions {
  /// In this order. The child shares all others with us, but for those that close themselves.
  std::vector<Descriptor> descriptors;
  bool own_group = false;  ///< a terminal's Ctrl-C then comes once, through us
};

/// Starts a program with our environment and no signal blocked, whatever this thread has blocked.
/// @param arguments  the first is its own name
/// @throws ResourceError naming the program and the reason
pid_t spawn(const std::string& program, std::vector<std::string> arguments,
            const SpawnOptions& options);

/// Waits for its end. @return the status, as waitpid() gives it
int wait_for_end(pid_t child);

}  // namespace deadray
