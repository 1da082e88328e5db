#include "verify/command/fisher_command.h"

#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "host/base/output.h"
#include "host/base/progress.h"
#include "host/base/stop_signals.h"
#include "host/command/choice_option.h"
#include "host/command/common_options.h"
#include "host/command/deliver.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "host/command/named_models.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/slice.h"
#include "verify/command/calibration_options.h"
#include "verify/command/named_model.h"
#include "verify/command/ranks_of_job.h"
#include "verify/device/device_option.h"
#include "verify/device/memory.h"
#include "verify/fisher/fisher.h"
#include "verify/fisher/fisher_dump.h"
#include "verify/fisher/fisher_plan.h"
#include "verify/fisher/fisher_verdict.h"
#include "verify/flat/cause_fisher.h"
#include "verify/flat/moves.h"
#include "verify/record/cause_record.h"
#include "verify/record/fisher_record.h"

namespace deadray {

namespace {

// F is a mean over tokens. Unlike a covariance it does not ask for more of them than d.
constexpr std::int64_t kDefaultTokens = 512;

struct FisherCommandOptions {
  std::filesystem::path model;
  Source init = Source::checkpoint;
  DType dtype = DType::f64;
  std::string device = "cpu";
  CalibrationRequest calibration;
  FisherOptions fisher;
  std::filesystem::path dump;
  int threads = 0;
  bool no_kfac = false;
  bool order = false, download = false;
  std::vector<std::string> causes;  // empty: the norms' consumers
  CheckpointOptions checkpoint;
  OutputOptions output;
};

int exit_code(const FisherMeasurement& measurement) {
  if (measurement.stopped) return 128 + measurement.stopped->signal;
  return static_cast<int>(exit_code_of(measurement));
}

/// Whether a word names the cause: by its name, or by what that begins with ("norm").
bool names(std::string_view word, std::string_view cause) {
  return word == "all" || word == cause || cause.starts_with(std::string(word) + "_");
}

/// The causes that are measured, and the one that no model of deadray's families has.
std::vector<std::string_view> all_causes() {
  std::vector<std::string_view> causes = flat::known_causes();
  causes.emplace_back("relative_bias");
  return causes;
}

std::vector<std::string> chosen_causes(const std::vector<std::string>& words) {
  std::vector<std::string> chosen;
  for (const std::string_view cause : all_causes())
    if (std::any_of(words.begin(), words.end(),
                    [&](const std::string& word) { return names(word, cause); }))
      chosen.emplace_back(cause);
  return chosen;
}

CLI::Validator known_causes() {
  std::set<std::string> words{"all"};
  for (const std::string_view cause : all_causes()) {
    words.emplace(cause);
    if (const auto end = cause.find('_'); end != cause.npos) words.emplace(cause.substr(0, end));
  }
  return one_of({words.begin(), words.end()});
}

/// What both kinds of measurement run on.
struct FisherRun {
  const FisherCommandOptions& options;
  const Model& model;
  const Calibration& whole;
  const Calibration& calibration;
  std::uint64_t seed;
  Communicator& ranks;
  Backend& backend;
  const JsonOutput& json;
  bool quiet;

  RecordHeader header(const std::vector<std::string>& notes) const {
    RecordHeader header = record_header(model, whole, options.dtype, {});
    if (ranks.size() > 1) header.hosts = ranks.hosts();
    header.notes.insert(header.notes.end(), notes.begin(), notes.end());
    return header;
  }
};

int measure_and_deliver_causes(const FisherRun& run) {
  flat::CauseOptions causes;
  causes.causes = chosen_causes(run.options.causes);
  causes.dtype = scalar_type(run.options.dtype);
  causes.directions = run.options.fisher.counts.dead;
  causes.controls = run.options.fisher.counts.controls;
  causes.invariance = run.options.fisher.invariance;
  causes.order = run.options.order;
  causes.seed = run.seed;
  causes.ranks = &run.ranks;
  Progress progress(run.model.name + ": cause", run.quiet);
  causes.progress = [&](std::int64_t done, std::int64_t total) { progress.show(done, total); };
  const flat::CauseMeasurement measurement =
      flat::measure_causes(run.model, run.calibration, causes);
  progress.clear();
  const int code = measurement.stopped ? 128 + measurement.stopped->signal
                                       : static_cast<int>(flat::exit_code_of(measurement));
  if (run.ranks.rank() > 0) return code;
  const RecordHeader header = run.header(measurement.notes);
  deliver([&] { return cause_record(header, measurement, causes, run.backend); },
          [&](bool coloured) { return narrate(header, measurement, coloured); }, header.notes,
          run.json, run.options.output);
  return code;
}

int run_fisher(FisherCommandOptions options) {
  options.model = find_weights_of(options.model, options.init, kFisherCommand.name,
                                  options.download, options.output.quiet);
  ask_for_large_pages();  // tangents are made and dropped by the gigabyte
  Communicator& ranks = ranks_of_job(options.threads);
  const Inputs inputs{{options.model}, {options.calibration.tokens}};
  const JsonOutput json(options.output.json, inputs);
  check_output(options.dump, inputs);
  catch_stop_signals();
  const bool quiet = options.output.quiet || ranks.rank() > 0;
  const std::unique_ptr<Backend> device = backend_of_device(options.device, ranks);
  Backend& backend = device ? *device : cpu_backend();
  if (options.threads > 0) at::set_num_threads(options.threads);
  const auto model = prepare_model(
      options.model,
      {options.init == Source::random, options.calibration.seed, options.checkpoint, &backend});
  CalibrationRequest request = options.calibration;
  request.checkpoint = options.checkpoint;
  if (request.tokens.empty() && request.random_tokens == 0 && request.batch == 0)
    request.random_tokens = kDefaultTokens;
  const Calibration whole = make_calibration(model->architecture, model->name, request);
  const Calibration calibration = slice(whole, model->architecture, ranks.rank(), ranks.size());

  if (!options.causes.empty())
    return measure_and_deliver_causes(
        {options, *model, whole, calibration, request.seed, ranks, backend, json, quiet});

  FisherOptions fisher = options.fisher;
  fisher.dtype = scalar_type(options.dtype);
  fisher.kfac = !options.no_kfac;
  fisher.seed = request.seed;
  fisher.ranks = &ranks;
  fisher.planned = [&](const FisherPlan& plan) {
    if (plan.gemm_rate > 0 && !quiet) write_message("plan: " + describe(plan, *model));
  };
  Progress progress(model->name + ": norm", quiet);
  fisher.progress = [&](std::int64_t done, std::int64_t total) { progress.show(done, total); };
  FisherMeasurement measurement = measure_fisher(*model, calibration, fisher);
  progress.clear();

  if (ranks.rank() > 0) return exit_code(measurement);
  RecordHeader header = record_header(*model, whole, options.dtype, {});
  if (ranks.size() > 1) header.hosts = ranks.hosts();
  header.notes.insert(header.notes.end(), measurement.notes.begin(), measurement.notes.end());
  if (!options.dump.empty()) write_directions(options.dump, measurement.directions);
  deliver([&] { return fisher_record(header, measurement, fisher, backend); },
          [&](bool coloured) { return narrate(header, measurement, coloured); }, header.notes, json,
          options.output);
  return exit_code(measurement);
}

}  // namespace

void add_fisher_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<FisherCommandOptions>();
  CLI::App& command = *app.add_subcommand(kFisherCommand.name, kFisherCommand.description);
  command
      .add_option("MODEL", options->model,
                  "Folder with config.json and weights, a file of weights with a config.json "
                  "beside it, or org/name[@revision] of the hub")
      ->required();
  command
      .add_option("--site", options->fisher.site,
                  "final, all, or the name of one norm: its consumers are measured")
      ->capture_default_str();
  command
      .add_option("--directions", options->fisher.counts.dead,
                  "Dead directions that are measured of each consumer")
      ->check(positive_integer())
      ->capture_default_str();
  command
      .add_option("--controls", options->fisher.counts.controls,
                  "Random directions of the same norm beside them")
      ->check(positive_integer())
      ->capture_default_str();
  command.add_flag("--invariance", options->fisher.invariance,
                   "Also finite steps of 1, 10 and 100 times |W|, in FP64");
  command.add_flag("--no-kfac", options->no_kfac,
                   "Leave out what K-FAC predicts, and its pass in reverse mode");
  command.add_option(
      "--dump", options->dump,
      "Write the directions and F of each to a safetensors file, for another program to repeat");
  command
      .add_option(
          "--causes", options->causes,
          "Flat directions of the causes that `deadray census` counts, block by block: all, "
          "or names with commas between them, such as norm,values,rotation")
      ->delimiter(',')
      ->check(known_causes())
      ->excludes("--site")
      ->excludes("--dump")
      ->excludes("--no-kfac");
  command
      .add_flag("--order", options->order,
                "With --causes also F along the curve, at 1e-4 to 1 times the parameters: gauge, "
                "regular, or singular of which order")
      ->needs("--causes");
  add_calibration_options(command, options->init, options->calibration, "512");
  add_choice_with_default(command, "--dtype", options->dtype,
                          choices_of<DType>({DType::f64, DType::f32}, long_name),
                          "Number type of the forward pass and of its derivatives");
  command
      .add_option("--seed", options->calibration.seed,
                  "Seed of random weights, tokens, directions and labels")
      ->capture_default_str();
  command.add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--threads", options->threads, "Threads (all cores)")
      ->check(positive_integer());
  add_model_options(command, options->fisher.predict.relative_tau, options->checkpoint);
  add_download_option(command, options->download);
  add_output_options(command, options->output);
  command.callback([options, &chosen] { chosen = [options] { return run_fisher(*options); }; });
}

}  // namespace deadray
