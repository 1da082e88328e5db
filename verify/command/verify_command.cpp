#include "verify/command/verify_command.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/deliver.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/slice.h"
#include "verify/command/named_model.h"
#include "verify/command/ranks_of_job.h"
#include "verify/command/verify_options.h"
#include "verify/device/device_option.h"
#include "verify/device/memory.h"
#include "verify/measure/activations.h"
#include "verify/measure/measurement.h"
#include "verify/measure/saved/saved_run.h"
#include "verify/plan/plan_advice.h"
#include "verify/plan/planned_measurement.h"
#include "verify/record/narrative.h"
#include "verify/record/plan_record.h"
#include "verify/record/record.h"

namespace deadray {

namespace {

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

int run_verify(VerifyOptions options) {
  if (options.model.empty() == options.activations.empty())
    throw UsageError("verify: give either MODEL or --activations FILE");
  if (!options.saved.empty()) defer_stops();  // to the end of a block
  catch_stop_signals();  // a stop unwinds the stack, so that a half-written dump is removed
  options.model = find_weights_of(options.model, options.init, kVerifyCommand.name,
                                  options.download, options.output.quiet);
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

}  // namespace

void add_verify_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App& command = *app.add_subcommand(kVerifyCommand.name, kVerifyCommand.description);
  add_verify_options(command, *options);
  command.callback([options, &chosen] { chosen = [options] { return run_verify(*options); }; });
}

}  // namespace deadray
