#include "verify/command/suite_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <system_error>

#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/command/choice_option.h"
#include "host/command/common_options.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "host/command/table.h"
#include "verify/base/dtypes.h"
#include "verify/device/device_option.h"
#include "verify/device/library_errors.h"
#include "verify/suite/suite.h"
#include "verify/suite/suite_process.h"
#include "verify/suite/suite_report.h"
#include "verify/suite/suite_row.h"

namespace deadray {
namespace {

constexpr const char* kRowFlag = "--row";

ExitCode code_of(const nlohmann::ordered_json& record) {
  switch (worst_verdict(record)) {
    case Verdict::refuted:
      return ExitCode::refuted;
    case Verdict::undetermined:
      return ExitCode::undetermined;
    case Verdict::confirmed:
    case Verdict::absent:
      return ExitCode::done;
  }
  return ExitCode::internal;
}

Outcome failed(ExitCode code, std::string reason) {
  return {Outcome::State::failed, code, std::move(reason), {}};
}

/// The child's own exit code, where it is one of deadray's; else an internal error. The kernel
/// sends signal 9 when memory runs out.
Outcome outcome_of(const ChildResult& child) {
  if (child.code > 128) {
    const int signal = child.code - 128;
    return failed(
        signal == SIGKILL ? ExitCode::resources : ExitCode::internal,
        fmt::format("ended by signal {}{}", signal, signal == SIGKILL ? ": out of memory?" : ""));
  }
  const bool known = child.code >= 1 && child.code <= static_cast<int>(ExitCode::undetermined);
  return failed(
      known ? static_cast<ExitCode>(child.code) : ExitCode::internal,
      child.message.empty() ? fmt::format("ended with exit code {}", child.code) : child.message);
}

Outcome with_record(Outcome::State state, nlohmann::ordered_json record) {
  const ExitCode code = code_of(record);
  return {state, code, {}, std::move(record)};
}

/// Measures the row in a process of its own.
Outcome measure_in_child(const SuiteOptions& options, const Row& row, const RowSource& source) {
  std::vector<std::string> arguments = row_arguments(options, row);
  arguments.push_back(kRowFlag);
  if (options.output.quiet) arguments.push_back("--quiet");
  const ChildResult child = run_child(std::move(arguments));
  if (const auto signal = stop_asked_for())
    return {Outcome::State::stopped, static_cast<ExitCode>(128 + *signal), {}, {}};
  const bool measured =
      child.code == 0 || (child.message.empty() && (child.code == 1 || child.code == 8));
  if (!measured) return outcome_of(child);
  RowRecord made = read_record(options, row, source);
  if (made.whole) return with_record(Outcome::State::measured, std::move(*made.whole));
  return failed(ExitCode::internal,
                fmt::format("{}: {} after it was measured", record_file(options, row).string(),
                            made.flaw.empty() ? "no record" : made.flaw));
}

Outcome run_row(const SuiteOptions& options, const Row& row) {
  const RowSource source = locate(row);
  if (!source.missing.empty())
    return {Outcome::State::not_downloaded, ExitCode::network, source.missing, {}};
  if (options.resume) {
    RowRecord earlier = read_record(options, row, source);
    if (earlier.whole) return with_record(Outcome::State::kept, std::move(*earlier.whole));
    if (!earlier.flaw.empty())
      write_message(
          fmt::format("{}: {}: measured again", record_file(options, row).string(), earlier.flaw));
  }
  return measure_in_child(options, row, source);
}

/// A row that fails becomes an outcome, and the next row goes on.
Outcome try_row(const SuiteOptions& options, const Row& row) {
  try {
    return run_row(options, row);
  } catch (const Error& error) {
    return failed(error.code(), error.what());
  }
}

void announce(const Row& row, const Outcome& outcome, std::size_t number, std::size_t total) {
  std::string line = fmt::format("{} of {}: {}, {}: {}", number, total, row.entry.name,
                                 to_string(row.init), to_string(outcome.state));
  if (!outcome.record.is_null())
    line += fmt::format(", {}, {:.1f} s", to_string(worst_verdict(outcome.record)),
                        outcome.record.at("suite").at("seconds").get<double>());
  write_message(outcome.reason.empty() ? line : line + ": " + outcome.reason);
}

/// @throws ResourceError when nothing can be written there
void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw ResourceError(
        fmt::format("{}: cannot create the folder: {}", folder.string(), error.message()));
}

int run_suite(const SuiteOptions& options) {
  check_device_name(options.device);
  const Roster roster = read_roster(options.roster);
  const std::vector<Row> rows = rows_of(roster, options);
  std::error_code ignored;
  if (!options.calibration.empty() && !std::filesystem::is_directory(options.calibration, ignored))
    throw UsageError(fmt::format("--calibration {}: no such folder", options.calibration.string()));
  make_folder(options.out);
  const Inputs inputs = inputs_of(options, rows);
  const std::filesystem::path suite = options.out / "suite.json";
  std::vector<std::filesystem::path> outputs{suite};
  for (const Row& row : rows) outputs.push_back(record_file(options, row));
  for (const std::filesystem::path& output : outputs) {
    refuse_to_replace(output, inputs);
    require_own_file(output);
  }
  const JsonOutput summary(suite.string(), inputs), json(options.output.json, inputs);
  catch_stop_signals();
  std::vector<Outcome> outcomes(rows.size());
  const auto code = [&] {
    const std::optional<int> signal = stop_asked_for();
    return signal ? 128 + *signal : static_cast<int>(exit_code_of(outcomes));
  };
  for (std::size_t i = 0; i < rows.size() && !stop_asked_for(); ++i) {
    outcomes[i] = try_row(options, rows[i]);
    // A row without a record is an error: it is announced even with --quiet.
    if (!options.output.quiet || outcomes[i].record.is_null())
      announce(rows[i], outcomes[i], i + 1, rows.size());
    // After each row: what is done survives whatever comes.
    summary.write(suite_record(options, roster, rows, outcomes, code()));
  }
  const auto record = suite_record(options, roster, rows, outcomes, code());
  summary.write(record);
  json.write(record);
  if (options.output.table_wanted())
    write_output(suite_table(record, colour_allowed(STDOUT_FILENO, options.output.no_color)));
  throw_if_stopped();
  return static_cast<int>(exit_code_of(outcomes));
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
  add_measuring_options(command, *options);
  add_output_options(command, options->output);
  // Not for people: measures the one row in this process.
  auto* row = command.add_flag(kRowFlag)->group("");
  command.callback([options, row, &chosen] {
    const bool one_row = row->count() > 0;
    chosen = [options, one_row] { return one_row ? run_one_row(*options) : run_suite(*options); };
  });
}

}  // namespace deadray
