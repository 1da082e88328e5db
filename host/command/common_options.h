#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "host/formats/container.h"

// Options that several subcommands share, and checks of their values.
namespace deadray {

/// What every subcommand takes beside its own options: --json, --quiet, --no-color.
struct OutputOptions {
  std::string json;    ///< file of the record, "-" for standard output; empty: none
  bool quiet = false;  ///< no table, no notes, no progress
  bool no_color = false;
  bool table_wanted() const noexcept { return !quiet && json != "-"; }
};
void add_output_options(CLI::App& command, OutputOptions& options);

/// How a checkpoint is read: --max-header, --strict.
void add_checkpoint_options(CLI::App& command, CheckpointOptions& checkpoint);
/// What every subcommand that predicts from a model takes: these, and --tau.
void add_model_options(CLI::App& command, double& relative_tau, CheckpointOptions& checkpoint);

/// A number x with 0 <= x < limit; NaN is none. For CLI::Option::check().
CLI::Validator number_below(double limit);
CLI::Validator positive_integer();

}  // namespace deadray
