#include "verify/command/verify_command.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/command/choice_option.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/deliver.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/slice.h"
#include "verify/command/calibration_options.h"
#include "verify/command/ranks_of_job.h"
#include "verify/device/device_option.h"
#include "verify/device/memory.h"
#include "verify/measure/activations.h"
#include "verify/measure/measurement.h"
#include "verify/measure/saved_run.h"
#include "verify/plan/plan_advice.h"
#include "verify/plan/planned_measurement.h"
#include "verify/record/narrative.h"
#include "verify/record/plan_record.h"
#include "verify/record/record.h"

namespace deadray {

namespace {

struct VerifyOptions {
  std::filesystem::path model, activations, dump;
  Source init = Source::checkpoint;
  Method method = Method::eigh;
  DType dtype = DType::f32;
  std::string site = "final", device = "cpu";
  CalibrationRequest calibration;
  double relative_tau = PredictOptions{}.relative_tau;
  std::optional<NormKind> norm;
  std::optional<double> eps;
  int threads = 0;
  bool residual = false, dump_logits = false, dry_run = false;
  std::filesystem::path saved;  // --checkpoint
  double minutes = 10;
  CheckpointOptions checkpoint;
  OutputOptions output;
};

ProbeOptions probe_options(const VerifyOptions& options) {
  ProbeOptions probe;
  probe.method = options.method;
  probe.dtype = options.dtype;
  probe.seed = options.calibration.seed;
  probe.predict.relative_tau = options.relative_tau;
  return probe;
}

int exit_code(const Measurement& measurement) {
  if (measurement.stopped) return 128 + measurement.stopped->signal;  // its note has said so
  return static_cast<int>(exit_code_of(measurement));
}

void finish(RecordHeader header, const Measurement& measurement, const Backend& backend,
            const OutputOptions& options, const JsonOutput& json) {
  header.notes.insert(header.notes.end(), measurement.notes.begin(), measurement.notes.end());
  deliver([&] { return verify_record(header, measurement, backend); },
          [&](bool coloured) { return narrate(header, measurement, coloured); }, header.notes, json,
          options);
}

/// On standard error alone: the record is to be that of a run without a break.
void say_where_it_began(const VerifyOptions& options, const Measurement& measurement,
                        std::int64_t n_blocks) {
  if (options.output.quiet) return;
  if (measurement.began_anew)
    write_message(
        fmt::format("note: {}: not every rank had a state of one block: the run began anew",
                    options.saved.string()));
  if (measurement.went_on_from)
    write_message(fmt::format("note: went on from block {} of {}, as saved in {}",
                              *measurement.went_on_from, n_blocks, options.saved.string()));
}

int verify_model(const VerifyOptions& options, Backend& backend, Communicator& ranks,
                 JsonOutput& json) {
  const auto model = prepare_model(
      options.model,
      {options.init == Source::random, options.calibration.seed, options.checkpoint, &backend});
  prepare_memory(model->architecture, options.dtype);
  CalibrationRequest request = options.calibration;
  request.checkpoint = options.checkpoint;
  const Calibration whole = make_calibration(model->architecture, model->name, request);
  const Calibration calibration = slice(whole, model->architecture, ranks.rank(), ranks.size());
  MeasurementOptions measurement_options;
  measurement_options.probe = probe_options(options);
  measurement_options.probe.ranks = &ranks;
  measurement_options.site = options.site;
  measurement_options.residual = options.residual;
  measurement_options.dump = options.dump;
  measurement_options.dump_logits = options.dump_logits;
  measurement_options.saved_run = options.saved;
  measurement_options.save_every_seconds = 60 * options.minutes;
  Plan plan = plan_measurement(*model, calibration, measurement_options);
  if (options.dry_run) {
    const std::int64_t available = available_memory(backend);
    json.write(plan_record(plan, *model, calibration, measurement_options, available));
    require_memory(plan, *model, calibration, measurement_options, available);
    if (options.output.table_wanted()) write_output(describe(plan, *model, available) + "\n");
    return static_cast<int>(ExitCode::done);
  }
  const bool speaks = ranks.rank() == 0;
  const Measurement measurement = measure_as_planned(
      plan, *model, calibration, std::move(measurement_options), options.output.quiet || !speaks);
  ranks.all_sum({&plan.forward_flops, 1});
  if (speaks) {
    RecordHeader header = record_header(*model, whole, options.dtype, plan);
    if (ranks.size() > 1) header.hosts = ranks.hosts();
    say_where_it_began(options, measurement, model->architecture.n_blocks);
    finish(std::move(header), measurement, backend, options.output, json);
  }
  if (!options.saved.empty() && !measurement.stopped) remove_saved_run(options.saved, ranks);
  return exit_code(measurement);
}

int verify_activation_file(const VerifyOptions& options, Backend& backend, JsonOutput& json) {
  ActivationsOptions activations;
  activations.probe = probe_options(options);
  activations.checkpoint = options.checkpoint;
  activations.backend = &backend;
  activations.kind = options.norm;
  activations.eps = options.eps;
  const ActivationsResult result = verify_activations(options.activations, activations);
  finish(record_header(result), result.measurement, backend, options.output, json);
  return exit_code(result.measurement);
}

/// What several ranks do not share out.
void refuse_of_ranks(const VerifyOptions& options, const Communicator& ranks) {
  if (ranks.size() == 1) return;
  for (const auto& [set, name] :
       {std::pair{!options.activations.empty(), "--activations"},
        std::pair{!options.dump.empty(), "--dump"}, std::pair{options.dry_run, "--dry-run"}})
    if (set)
      throw UsageError(fmt::format("{}: one process does this, and {} were started; start one",
                                   name, ranks.size()));
}

void refuse_folder_of_model(const VerifyOptions& options) {
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::is_directory(options.model, ignored)
                                           ? options.model
                                           : options.model.parent_path();
  if (!options.saved.empty() && std::filesystem::equivalent(options.saved, folder, ignored))
    throw UsageError(fmt::format(
        "--checkpoint {}: is the model's own folder: give another, for the states of the run",
        options.saved.string()));
}

int run_verify(const VerifyOptions& options) {
  if (options.model.empty() == options.activations.empty())
    throw UsageError("verify: give either MODEL or --activations FILE");
  if (!options.saved.empty()) defer_stops();  // to the end of a block
  catch_stop_signals();  // a stop unwinds the stack, so that a half-written dump is removed
  Communicator& ranks = ranks_of_job(options.threads);
  refuse_of_ranks(options, ranks);
  const Inputs inputs{{options.model}, {options.activations, options.calibration.tokens}};
  JsonOutput json(options.output.json, inputs);
  check_output(options.dump, inputs);
  refuse_folder_of_model(options);
  const std::unique_ptr<Backend> device = backend_of_device(options.device, ranks);
  Backend& backend = device ? *device : cpu_backend();
  if (options.threads > 0) at::set_num_threads(options.threads);
  try {
    return options.activations.empty() ? verify_model(options, backend, ranks, json)
                                       : verify_activation_file(options, backend, json);
  } catch (const Stopped& stopped) {
    if (ranks.rank() == 0)
      write_message(fmt::format(
          "deadray: stopped by signal {} before any norm was measured: {}", stopped.signal,
          options.saved.empty() ? "nothing is written"
                                : "the run is saved in " + options.saved.string()));
    throw;
  }
}

/// Options for a model and for a file of activations.
void add_measuring_options(CLI::App& command, VerifyOptions& options) {
  add_choice_with_default(
      command, "--method", options.method,
      choices_of<Method>({Method::eigh, Method::certificate, Method::directional}),
      "eigh: all eigenvalues, and the eigenvectors that the verdict reads; certificate: Cholesky "
      "and Lanczos; directional: no covariance");
  command
      .add_option("--seed", options.calibration.seed,
                  "Seed of random weights, tokens and directions")
      ->capture_default_str();
  command.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--threads", options.threads, "Threads (all cores)")
      ->check(positive_integer());
  add_model_options(command, options.relative_tau, options.checkpoint);
}

void add_options_of_activations(CLI::App& command, VerifyOptions& options,
                                CLI::Option* activations) {
  add_choice(command, "--norm", options.norm,
             choices_of<NormKind>({NormKind::layernorm, NormKind::rmsnorm}),
             "Kind of norm of --activations, where its metadata does not say")
      ->needs(activations);
  command
      .add_option("--eps", options.eps,
                  "Epsilon of the norm of --activations, where its metadata does not say")
      ->check(number_below(std::numeric_limits<double>::infinity()))
      ->needs(activations);
}

/// @return the options that exclude --activations: its file brings rows, in a dtype, of one norm
std::vector<CLI::Option*> add_options_of_models(CLI::App& command, VerifyOptions& options) {
  std::vector<CLI::Option*> own =
      add_calibration_options(command, options.init, options.calibration, "max(1.25 d, 4096)");
  auto* site = command.add_option("--site", options.site, "final, all, or the name of one norm")
                   ->capture_default_str();
  auto* dtype =
      add_choice_with_default(command, "--dtype", options.dtype,
                              choices_of<DType>({DType::f32, DType::bf16, DType::f64}, long_name),
                              "Number type of the forward pass. Measurements are always FP64");
  auto* residual =
      command.add_flag("--residual", options.residual,
                       "Also the smallest singular value of the residual stream at every block");
  auto* dump = command.add_option(
      "--dump", options.dump,
      "Write residual.0 ... residual.L and final_norm.output to a safetensors file");
  auto* logits = command.add_flag("--dump-logits", options.dump_logits, "Add the logits to --dump")
                     ->needs(dump);
  auto* dry_run =
      command.add_flag("--dry-run", options.dry_run,
                       "Say what the run would take, and stop; 6 where that does not fit");
  auto* saved = command.add_option(
      "--checkpoint", options.saved,
      "Save the run in this folder as it goes; the same command goes on from there");
  saved->excludes(dump)->check([](const std::string& folder) {
    return folder.empty() ? "expected a folder" : "";  // such as of a variable that is not set
  });
  auto* every = command
                    .add_option("--every", options.minutes,
                                "Minutes after which --checkpoint saves, at the end of a block")
                    ->capture_default_str()
                    ->check(number_below(1e6))
                    ->needs(saved);
  own.insert(own.end(), {dry_run, site, dtype, residual, dump, logits, saved, every});
  return own;
}

}  // namespace

void add_verify_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App& command = *app.add_subcommand(kVerifyCommand.name, kVerifyCommand.description);
  auto* model = command.add_option(
      "MODEL", options->model,
      "Folder with config.json and weights, or a file of weights with a config.json beside it");
  auto* activations = command.add_option(
      "--activations", options->activations,
      "Instead of a model: a safetensors file with weight, bias, and input or output of one norm");
  add_measuring_options(command, *options);
  add_options_of_activations(command, *options, activations);
  for (CLI::Option* option : add_options_of_models(command, *options))
    option->excludes(activations);
  activations->excludes(model);
  add_output_options(command, options->output);
  command.callback([options, &chosen] { chosen = [options] { return run_verify(*options); }; });
}

}  // namespace deadray
