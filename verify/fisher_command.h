#pragma once

#include "host/commands.h"

namespace deadray {

/// Adds `fisher` to the program.
void add_fisher_command(CLI::App& app, Command& chosen);

}  // namespace deadray
