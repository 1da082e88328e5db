#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "host/checkpoint.h"

namespace deadray {

/// "0.1.0"
std::string_view version() noexcept;

/// What every subcommand takes beside its own options.
struct OutputOptions {
  std::string json;    ///< file of the record, "-" for standard output; empty: none
  bool quiet = false;  ///< no table, no notes, no progress
  bool no_color = false;
  bool table_wanted() const noexcept { return !quiet && json != "-"; }
};
void add_output_options(CLI::App& command, OutputOptions& options);

/// A number x with 0 <= x < limit; NaN is none. For Option::check().
CLI::Validator number_below(double limit);
CLI::Validator positive_integer();

/// What every subcommand that opens a model takes: --tau, --max-header, --strict.
void add_model_options(CLI::App& command, double& relative_tau, CheckpointOptions& checkpoint);

/// Where a record goes: "-" for standard output, "" for nowhere. Checked before the work, so that
/// an unwritable place costs no computation; a file appears whole or not at all.
class JsonOutput {
 public:
  /// @throws ResourceError naming the path and the reason
  explicit JsonOutput(std::string path);
  /// @throws ResourceError, ClosedPipe
  void write(const nlohmann::ordered_json& record) const;

 private:
  std::string path_;
};

/// Text for standard output. @throws ResourceError when it cannot be written, ClosedPipe when
/// nobody reads any more
void write_output(std::string_view text);
/// A line for people on standard error; failures there are nobody's concern.
void write_message(std::string_view text);

/// Nobody reads standard output any more: ends the program quietly with 141.
struct ClosedPipe {};

/// SIGINT and SIGTERM end a program at once (130 and 143 in the shell) unless it has partial
/// results to save: after catch_stop_signals() the first one makes throw_if_stopped() throw
/// Stopped, which run_program() turns into 128 + signal; a second one ends the program. To be
/// called before other threads are started, since they inherit that these signals are blocked; so
/// do processes, which have to unblock them.
struct Stopped {
  int signal;
};
void catch_stop_signals();
void throw_if_stopped();

/// Parses; errors become a UsageError with the nearest option or subcommand; --help and --version
/// are printed. Options of unsigned type take no negative number.
/// @return false when nothing is left to do (help or version was asked for)
bool parse_command_line(CLI::App& app, int argc, const char* const* argv);

/// Runs a program's body and maps how it ends to the exit code of host/error.h, with one line on
/// standard error: Error by its own code, std::bad_alloc 6, ClosedPipe 141, Stopped 128 + signal,
/// anything else 7.
int run_program(const std::function<int()>& body);

}  // namespace deadray
