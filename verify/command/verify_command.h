#pragma once

#include "host/command/commands.h"

namespace deadray {

/// Adds `verify` to the program.
void add_verify_command(CLI::App& app, Command& chosen);

}  // namespace deadray
