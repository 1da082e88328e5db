#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <functional>

namespace deadray {

/// The work of the subcommand that was parsed; returns the exit code.
using Command = std::function<int()>;

/// A subcommand of deadray-verify: `deadray` lists it and hands the process over.
struct HeavyCommand {
  const char *name, *description;
};
inline constexpr HeavyCommand kVerifyCommand{
    "verify", "Measure a model's norms and compare with what gamma alone predicts"};
inline constexpr HeavyCommand kFisherCommand{
    "fisher", "Show that the directions of parameters which gamma names dead change no output"};
inline constexpr HeavyCommand kSuiteCommand{
    "suite",
    "Verify a roster of models at random initialisation and with trained weights; one record each"};
inline constexpr HeavyCommand kBenchCommand{"bench",
                                            "Measure what prediction and verification cost"};
inline constexpr std::array kHeavyCommands{kVerifyCommand, kFisherCommand, kSuiteCommand,
                                           kBenchCommand};

/// A subcommand that Python does.
inline constexpr HeavyCommand kReportCommand{
    "report", "Tables and figures from the records of a folder: Markdown, CSV and one HTML page"};
/// Replaces this process by scripts/lib/report.py with the same arguments.
/// @throws ResourceError where the script or Python is not found
[[noreturn]] void become_report(int argc, char** argv);

void add_predict_command(CLI::App& app, Command& chosen);
void add_census_command(CLI::App& app, Command& chosen);
void add_convert_command(CLI::App& app, Command& chosen);
void add_models_command(CLI::App& app, Command& chosen);

}  // namespace deadray
