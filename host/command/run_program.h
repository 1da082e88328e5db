#pragma once

#include <functional>
#include <string>

#include "host/command/command_line.h"

namespace deadray {

/// Runs a program's body and returns the exit code (host/base/error.h) for the way it ends. What
/// was thrown becomes one line on standard error: Error has its own code, std::bad_alloc 6,
/// anything unknown 7. ClosedPipe gives 141 and Stopped 128 + signal, without a line.
int run_program(const std::function<int()>& body);

/// What these lines begin with instead of "deadray": for one of several processes.
void name_process(std::string name);

}  // namespace deadray
