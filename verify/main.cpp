#include <CLI/CLI.hpp>

#include "host/command_line.h"
#include "verify/bench_kernels.h"
#include "verify/bench_predict.h"
#include "verify/bench_timing.h"
#include "verify/verify_command.h"

/// The heavy program behind `deadray verify` and `deadray bench`: the light one replaces itself by this.
int main(int argc, char** argv) {
  return deadray::run_program([&] {
    int exit_code = 0;
    deadray::Command chosen;
    CLI::App app("deadray: dead directions of LayerNorm transformers, predicted from gamma and verified by measurement", "deadray");
    app.require_subcommand(1);
    deadray::add_verify_command(app, exit_code);
    CLI::App& bench = *app.add_subcommand("bench", "Measure what prediction and verification cost");
    bench.require_subcommand(1);
    deadray::add_bench_kernels_command(bench, chosen);
    deadray::add_bench_predict_command(bench, exit_code);
    deadray::add_bench_timing_command(bench, exit_code);
    if (!deadray::parse_command_line(app, argc, argv)) return 0;
    return chosen ? chosen() : exit_code;
  });
}
