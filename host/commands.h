#pragma once

#include <functional>

#include "host/command_line.h"

namespace deadray {

/// The work of the subcommand that was parsed; returns the exit code.
using Command = std::function<int()>;

void add_predict_command(CLI::App& app, Command& chosen);
void add_models_command(CLI::App& app, Command& chosen);

}  // namespace deadray
