#pragma once

#include "host/command/commands.h"

namespace deadray {

/// Adds `bench predict`: one warm prediction against copying gamma, by hidden size, and the whole
/// process on a model.
void add_bench_predict_command(CLI::App& bench, Command& chosen);

}  // namespace deadray
