#include "verify/suite/try_row.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "verify/suite/row_record.h"
#include "verify/suite/suite_process.h"

namespace deadray {
namespace {

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

/// A scheduler signals both of us, and the child may end before our own signal is here.
std::optional<int> stop_behind(const ChildResult& child) {
  const bool was_stopped = child.code == 128 + SIGTERM || child.code == 128 + SIGINT;
  for (int tries = 50; was_stopped && !stop_asked_for() && tries > 0; --tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return stop_asked_for();
}

/// Measures the row in a process of its own.
Outcome measure_in_child(const SuiteOptions& options, const Row& row, const RowSource& source) {
  std::vector<std::string> arguments = row_arguments(options, row);
  arguments.push_back(kRowFlag);
  if (options.output.quiet) arguments.push_back("--quiet");
  const ChildResult child = run_child(std::move(arguments));
  if (const auto signal = stop_behind(child))
    return {Outcome::State::stopped, static_cast<ExitCode>(128 + *signal), {}, {}};
  const bool measured =
      child.code == 0 || (child.message.empty() && (child.code == 1 || child.code == 8));
  if (!measured) return outcome_of(child);
  RowRecord made = read_record(options, row, source);
  if (made.whole) return outcome_with(Outcome::State::measured, std::move(*made.whole));
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
    if (earlier.whole) return outcome_with(Outcome::State::kept, std::move(*earlier.whole));
    if (!earlier.flaw.empty())
      write_message(
          fmt::format("{}: {}: measured again", record_file(options, row).string(), earlier.flaw));
  }
  return measure_in_child(options, row, source);
}

}  // namespace

Outcome try_row(const SuiteOptions& options, const Row& row) {
  try {
    return run_row(options, row);
  } catch (const Error& error) {
    return failed(error.code(), error.what());
  }
}

std::string announcement(const Row& row, const Outcome& outcome, std::size_t number,
                         std::size_t total) {
  std::string line = fmt::format("{} of {}: {}, {}: {}", number, total, row.entry.name,
                                 to_string(row.init), to_string(outcome.state));
  if (!outcome.record.is_null())
    line += fmt::format(", {}, {:.1f} s", to_string(worst_verdict(outcome.record)),
                        outcome.record.at("suite").at("seconds").get<double>());
  return outcome.reason.empty() ? line : line + ": " + outcome.reason;
}

}  // namespace deadray
