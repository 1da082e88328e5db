#pragma once

#include "host/command/commands.h"

namespace deadray {

/// Adds `suite` to the program.
void add_suite_command(CLI::App& app, Command& chosen);

}  // namespace deadray
