#include "verify/command/bench_timing.h"

#include <memory>

#include "host/command/choice_option.h"
#include "host/command/common_options.h"
#include "verify/command/calibration_options.h"
#include "verify/command/timing_bench.h"
#include "verify/device/device_option.h"

namespace deadray {
namespace {

const std::vector<std::int64_t> kDims = {256, 512, 1024, 2048};

std::vector<TimingMethod> all_methods() {
  std::vector<TimingMethod> methods(kOwnMethods.begin(), kOwnMethods.end());
  methods.insert(methods.end(), kPeerMethods.begin(), kPeerMethods.end());
  return methods;
}

/// What is timed, and where.
void add_problem_options(CLI::App& command, TimingOptions& options) {
  command
      .add_option("MODEL", options.models,
                  "Models whose final norm, and forward pass on random tokens, is the problem")
      ->type_name("MODEL...");
  command
      .add_option("--dims", options.dims,
                  "Hidden sizes of synthetic problems (256,512,1024,2048 where no model is given)")
      ->type_name("D,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(positive_integer());
  add_choice_list(command, "--methods", options.methods, choices_of<TimingMethod>(all_methods()),
                  "Those that are timed; all of them unless given")
      ->type_name("NAME,...")
      ->allow_extra_args(false);
  command
      .add_option("--device", options.devices,
                  "Where: cpu, cuda, cuda:N; several with commas between")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  add_init_option(command, options.init,
                  "Weights of models: the checkpoint's, or random ones (config.json suffices)");
  command
      .add_option(
          "--peers", options.peers,
          "Program that times other libraries on the same data: scripts/bench_peers gives itself")
      ->check(CLI::ExistingFile)
      ->type_name("PROGRAM");
}

/// How much time it may take.
void add_effort_options(CLI::App& command, TimingOptions& options) {
  command
      .add_option("--repetitions", options.turns.repetitions, "Readings of each; the median counts")
      ->check(positive_integer())
      ->capture_default_str();
  command
      .add_option(
          "--budget", options.turns.budget,
          "Seconds of readings after which a method is not repeated; it is read once at least")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      .add_option("--limit", options.turns.limit,
                  "Seconds; what will take longer, to judge by a smaller d, is skipped")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      .add_option("--threads", options.threads, "Threads of every method, peers too (all cores)")
      ->check(positive_integer());
}

}  // namespace

void add_bench_timing_command(CLI::App& bench, Command& chosen) {
  auto options = std::make_shared<TimingOptions>();
  options->methods = all_methods();
  CLI::App& command =
      *bench.add_subcommand("timing",
                            "What predicting costs, and what measuring does: covariance, "
                            "certificate, eigendecomposition, SVD, forward pass");
  add_problem_options(command, *options);
  add_effort_options(command, *options);
  add_output_options(command, options->output);
  command.callback([options, &chosen] {
    for (const std::string& device : options->devices) check_device_name(device);
    if (options->dims.empty() && options->models.empty()) options->dims = kDims;
    chosen = [options] { return run_timing(*options); };
  });
}

}  // namespace deadray
