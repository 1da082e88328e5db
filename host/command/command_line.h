#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "host/formats/checkpoint.h"

namespace deadray {

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

/// Parses; errors become a UsageError with the nearest option or subcommand; --help and --version
/// are printed. Options of unsigned type take no negative number.
/// @return false when nothing is left to do (help or version was asked for)
bool parse_command_line(CLI::App& app, int argc, const char* const* argv);

/// Runs a program's body and maps how it ends to the exit code of host/base/error.h, with one line
/// on standard error: Error by its own code, std::bad_alloc 6, ClosedPipe 141, Stopped 128 +
/// signal, anything else 7.
int run_program(const std::function<int()>& body);

}  // namespace deadray
