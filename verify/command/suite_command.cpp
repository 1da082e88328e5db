#include "verify/command/suite_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <system_error>

#include "host/base/atomic_file.h"
#include "host/base/input_file.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/table/table.h"
#include "host/command/choice_option.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "host/command/named_models.h"
#include "verify/base/dtypes.h"
#include "verify/device/device_option.h"
#include "verify/device/library_errors.h"
#include "verify/suite/row_record.h"
#include "verify/suite/suite_merge.h"
#include "verify/suite/suite_process.h"
#include "verify/suite/suite_row.h"
#include "verify/suite/try_row.h"

namespace deadray {
namespace {

/// The file, in a folder that there is now.
/// @throws ResourceError when the folder cannot be made
std::filesystem::path folder_made(const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error)
    throw ResourceError(fmt::format("{}: cannot create the folder: {}", file.parent_path().string(),
                                    error.message()));
  return file;
}

/// Where the suite's report goes, checked before the work: nothing is replaced that is read.
struct Reports {
  JsonOutput summary, json;
  Reports(const SuiteOptions& options, const std::vector<Row>& rows, const Inputs& inputs)
      : summary(folder_made(report_file(options)).string(), inputs),
        json(options.output.json, inputs) {
    std::vector<std::filesystem::path> records;
    for (const Row& row : rows) records.push_back(record_file(options, row));
    refuse_to_replace(records, inputs);
    records.push_back(report_file(options));
    for (const std::filesystem::path& record : records) require_own_file(record);
  }
};

void show(const SuiteOptions& options, const nlohmann::ordered_json& record) {
  if (options.output.table_wanted())
    write_output(suite_table(record, colour_allowed(STDOUT_FILENO, options.output.no_color)));
}

/// Where that fails the row itself is told to be missing, and the next one is tried.
void download_weights(const Row& row, const SuiteOptions& options) {
  const RosterEntry& entry = row.entry;
  if (row.init != Source::checkpoint || !entry.path.empty() || entry.hf_id.empty()) return;
  const std::string at = entry.revision.empty() ? "" : "@" + entry.revision;
  try {
    find_models({entry.hf_id + at}, HubPurpose::weights, kSuiteCommand.name, /*download=*/true,
                options.output.quiet);
  } catch (const HubFailed&) {  // it has said why
  }
}

int run_suite(const SuiteOptions& options) {
  check_device_name(options.device);
  const Roster roster = read_roster(options.roster);
  const std::vector<Row> rows = rows_of(roster, options);
  std::error_code ignored;
  if (!options.calibration.empty() && !std::filesystem::is_directory(options.calibration, ignored))
    throw UsageError(fmt::format("--calibration {}: no such folder", options.calibration.string()));
  const Reports reports(options, rows, inputs_of(options, rows));
  if (options.shard && !options.output.quiet)
    write_message(fmt::format("part {} of the suite: {} row{}", to_string(*options.shard),
                              rows.size(), rows.size() == 1 ? "" : "s"));
  catch_stop_signals();
  std::vector<Outcome> outcomes(rows.size());
  const auto code = [&] {
    const std::optional<int> signal = stop_asked_for();
    return signal ? 128 + *signal : static_cast<int>(exit_code_of(outcomes));
  };
  for (std::size_t i = 0; i < rows.size() && !stop_asked_for(); ++i) {
    if (options.download) download_weights(rows[i], options);
    outcomes[i] = try_row(options, rows[i]);
    // A row without a record is an error: it is announced even with --quiet.
    if (!options.output.quiet || outcomes[i].record.is_null())
      write_message(announcement(rows[i], outcomes[i], i + 1, rows.size()));
    // After each row: what is done survives whatever comes.
    reports.summary.write(suite_record(options, roster, rows, outcomes, code()));
  }
  const auto record = suite_record(options, roster, rows, outcomes, code());
  reports.summary.write(record);
  reports.json.write(record);
  show(options, record);
  throw_if_stopped();
  return static_cast<int>(exit_code_of(outcomes));
}

/// The parts' records, copied to --out where they are elsewhere, and the report of the whole.
int run_merge(const SuiteOptions& options) {
  const Roster roster = read_roster(options.roster);
  const MergedSuite merged = merge_parts(options, roster);
  const std::vector<Row>& rows = merged.rows;
  const Reports reports(options, rows, inputs_of(options, rows));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::filesystem::path from = merged.records[i], to = record_file(options, rows[i]);
    std::error_code ignored;
    if (from.empty())
      write_message(announcement(rows[i], merged.outcomes[i], i + 1, rows.size()));
    else if (!std::filesystem::equivalent(from, to, ignored))
      write_file_atomically(to, read_text_file(from));
  }
  const int code = static_cast<int>(exit_code_of(merged.outcomes));
  const auto record = suite_record(options, roster, rows, merged.outcomes, code);
  reports.summary.write(record);
  reports.json.write(record);
  show(options, record);
  return code;
}

/// What the process does that the suite starts for a row.
int run_one_row(const SuiteOptions& options) {
  return report_to_parent([&] {
    return translate_library_errors([&] {
      catch_stop_signals();
      return static_cast<int>(
          measure_row(options, rows_of(read_roster(options.roster), options).at(0)));
    });
  });
}

void add_measuring_options(CLI::App& command, SuiteOptions& options) {
  command.add_option("--site", options.site, "final, all, or the name of one norm")
      ->capture_default_str();
  add_choice_with_default(command, "--method", options.method,
                          choices_of<Method>({Method::eigh, Method::certificate}),
                          "eigh, or certificate: Cholesky and Lanczos");
  add_choice_with_default(
      command, "--dtype", options.dtype,
      choices_of<DType>({DType::f32, DType::bf16, DType::f64}, long_name),
      "Number type of the forward passes (verify: float32). Measurements are always FP64");
  command.add_option("--seed", options.seed, "Seed of random weights, tokens and directions")
      ->capture_default_str();
  command
      .add_option("--random-tokens", options.random_tokens,
                  "Number of random tokens, rounded up to whole sequences (max(1.25 d, 4096))")
      ->check(positive_integer());
  command
      .add_option(
          "--sequence-length", options.sequence_length,
          "Tokens of each random sequence, at most what a model takes (512; a roster's own wins)")
      ->check(positive_integer());
  command
      .add_option("--skip-tokens", options.skip_tokens,
                  "Leave the first K tokens of each sequence out of the statistics (0)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("K");
  command
      .add_option(
          "--calibration", options.calibration,
          "Folder with MODEL.safetensors made by scripts/calibration, for models that have one")
      ->type_name("FOLDER");
  command.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--threads", options.threads, "Threads (all cores)")
      ->check(positive_integer());
  command.add_flag("--no-residual", options.no_residual,
                   "Leave out the smallest singular values of the residual stream");
  add_model_options(command, options.relative_tau, options.checkpoint);
}

/// The parts know the options that they ran with.
void refuse_measuring_options(const CLI::App& command, const std::vector<std::string>& allowed) {
  for (const CLI::Option* option : command.get_options())
    if (option->count() > 0 &&
        std::find(allowed.begin(), allowed.end(), option->get_name()) == allowed.end())
      throw UsageError(fmt::format(
          "--merge and {}: it measures nothing, and the parts know the options that they "
          "ran with: leave {} out",
          option->get_name(), option->get_name()));
}

}  // namespace

void add_suite_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<SuiteOptions>();
  CLI::App& command = *app.add_subcommand(kSuiteCommand.name, kSuiteCommand.description);
  command
      .add_option("ROSTER", options->roster,
                  "List of models: docs/suite.md; ours is scripts/rosters/fourteen.json")
      ->required();
  add_choice_list(command, "--init", options->init,
                  choices_of<Source>({Source::random, Source::checkpoint}),
                  "Weights: random, checkpoint, or both with a comma between")
      ->default_str("random,checkpoint");
  command.add_flag("--download", options->download,
                   "Download checkpoints that the Hugging Face cache lacks into it");
  command
      .add_option(
          "--out", options->out,
          "Folder for MODEL.INIT.json, one record each, and suite.json; made where it is missing")
      ->required();
  command
      .add_option("--only", options->only,
                  "Names of the roster's models to run, with commas between")
      ->delimiter(',')
      ->type_name("NAME,...");
  command.add_flag(
      "--resume", options->resume,
      "Keep whole records of an earlier run with the same inputs and options; redo the others");
  command
      .add_option_function<std::string>(
          "--shard", [options](const std::string& text) { options->shard = parse_shard(text); },
          "Run part I of N, counted from 0: 0/4 to 3/4 (in a Slurm array: the task's; else all)")
      ->type_name("I/N");
  add_measuring_options(command, *options);
  command
      .add_option("--merge", options->merge,
                  "Measure nothing: put the parts that ran with these folders as --out together")
      ->type_name("FOLDER...");
  add_output_options(command, options->output);
  // Not for people: measures the one row in this process.
  auto* row = command.add_flag(kRowFlag)->group("");
  command.callback([options, row, &command, &chosen] {
    const bool one_row = row->count() > 0;
    if (!options->merge.empty())
      refuse_measuring_options(command,
                               {"ROSTER", "--out", "--merge", "--json", "--quiet", "--no-color"});
    chosen = [options, one_row] {
      if (one_row) return run_one_row(*options);
      if (!options->merge.empty()) return run_merge(*options);
      if (!options->shard) options->shard = shard_of_slurm_array();
      return run_suite(*options);
    };
  });
}

}  // namespace deadray
