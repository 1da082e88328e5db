#pragma once

#include "host/command/commands.h"

namespace deadray {

/// Adds `bench timing`: the prediction against the measurements that it replaces, by hidden size.
void add_bench_timing_command(CLI::App& bench, Command& chosen);

}  // namespace deadray
