#pragma once

#include <CLI/CLI.hpp>

#include "host/command/commands.h"

namespace deadray {

/// Adds `bench kernels`: every device operation by shape, against a copy and bare products measured
/// in the same run.
void add_bench_kernels_command(CLI::App& bench, Command& chosen);

}  // namespace deadray
