#pragma once

#include <CLI/CLI.hpp>

namespace deadray {

/// Adds `bench predict`: one warm prediction against copying gamma, by hidden size, and the whole process on a model.
void add_bench_predict_command(CLI::App& bench, int& exit_code);

}  // namespace deadray
