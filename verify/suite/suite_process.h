#pragma once

#include <functional>
#include <string>
#include <vector>

namespace deadray {

/// How a child process ended.
struct ChildResult {
  int code = 0;         ///< exit code, as a shell shows it: 128 + signal
  std::string message;  ///< what it reported before it ended
};

/// Runs this program again with other arguments, in a process group of its own; its standard output
/// goes to standard error. A stop signal that this process catches is passed on once, and the child
/// is waited for.
/// @throws ResourceError when it cannot be started
ChildResult run_child(std::vector<std::string> arguments);

/// In the child: runs `body`, reports the one line of an Error to the parent instead of printing
/// it, and ends with its code. The child ends when its parent does.
int report_to_parent(const std::function<int()>& body);

}  // namespace deadray
