#pragma once

#include "host/command/commands.h"

namespace deadray {

/// Adds `fisher` to the program.
void add_fisher_command(CLI::App& app, Command& chosen);

}  // namespace deadray
