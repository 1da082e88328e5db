#include <CLI/CLI.hpp>

#include "host/command/command_line.h"
#include "host/command/commands.h"
#include "host/command/run_program.h"
#include "verify/command/bench_predict.h"
#include "verify/command/bench_timing.h"
#include "verify/command/fisher_command.h"
#include "verify/command/suite_command.h"
#include "verify/command/verify_command.h"
#include "verify/device/library_errors.h"
#include "verify/kernel_bench/bench_kernels.h"
#include "verify/ranks/launcher.h"

namespace deadray {
namespace {

int run(int argc, char** argv) {
  Command chosen;
  CLI::App app(
      "deadray: dead directions of LayerNorm transformers, predicted from gamma and verified by "
      "measurement",
      "deadray");
  app.require_subcommand(1);
  add_verify_command(app, chosen);
  add_fisher_command(app, chosen);
  add_suite_command(app, chosen);
  CLI::App& bench = *app.add_subcommand(kBenchCommand.name, kBenchCommand.description);
  bench.require_subcommand(1);
  add_bench_kernels_command(bench, chosen);
  add_bench_predict_command(bench, chosen);
  add_bench_timing_command(bench, chosen);
  if (!parse_command_line(app, argc, argv)) return 0;
  if (!app.got_subcommand(kVerifyCommand.name) && !app.got_subcommand(kFisherCommand.name))
    refuse_several_processes("start one, and split a suite with --shard");
  return run_with_ranks(chosen);
}

}  // namespace
}  // namespace deadray

/// `deadray-verify`: the light program `deadray` replaces itself by this one for `verify`,
/// `fisher`, `suite` and `bench`.
int main(int argc, char** argv) {
  return deadray::end_ranks(deadray::run_program(
      [&] { return deadray::translate_library_errors([&] { return deadray::run(argc, argv); }); }));
}
