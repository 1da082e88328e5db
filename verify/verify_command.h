#pragma once

#include <CLI/CLI.hpp>

namespace deadray {

/// Adds `verify` to the program; the callback fills `exit_code`.
void add_verify_command(CLI::App& app, int& exit_code);

}  // namespace deadray
