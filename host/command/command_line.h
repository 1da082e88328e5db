#pragma once

#include <CLI/CLI.hpp>

namespace deadray {

/// Parses the command line. --help and --version are printed. Options of unsigned type take no
/// negative number.
/// @return false when nothing is left to do (help or version was asked for)
/// @throws UsageError for all that is wrong, with the nearest option or subcommand
bool parse_command_line(CLI::App& app, int argc, const char* const* argv);

}  // namespace deadray
