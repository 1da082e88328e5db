#pragma once

#include <CLI/CLI.hpp>

namespace deadray {

/// Adds `bench timing`: the prediction against the measurements that it replaces, by hidden size.
void add_bench_timing_command(CLI::App& bench, int& exit_code);

}  // namespace deadray
