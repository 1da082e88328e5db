#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/architecture/roster.h"
#include "host/command/common_options.h"
#include "host/prediction/predictor.h"
#include "verify/measure/measurement.h"

// The suite is rows: a model of the roster with one initialisation. The parent process walks over
// them; each is measured by a process of its own, so that one that fails, or is killed for its
// memory, takes no other with it, and the peak memory of each is its own. What they came to:
// suite_report.h.
namespace deadray {

struct SuiteOptions {
  std::filesystem::path roster, out, calibration;
  std::vector<std::string> only;
  std::vector<std::string> init = {"random", "checkpoint"};
  std::string site = "final", method = "eigh", dtype = "bfloat16", device = "cpu";
  std::uint64_t seed = 0;
  std::int64_t random_tokens = 0, sequence_length = 0;  ///< 0: the default
  double relative_tau = PredictOptions{}.relative_tau;
  int threads = 0;
  bool no_residual = false, resume = false;
  CheckpointOptions checkpoint;
  OutputOptions output;
};

struct Row {
  RosterEntry entry;
  Source init = Source::random;
  std::string name() const { return entry.name + "." + std::string(to_string(init)); }
};

/// Models in the roster's order, each with every initialisation in the order asked for.
std::vector<Row> rows_of(const Roster& roster, const SuiteOptions& options);

std::filesystem::path record_file(const SuiteOptions& options, const Row& row);

/// Where a row's configuration and weights come from.
struct RowSource {
  std::filesystem::path weights;  ///< empty for random initialisation
  std::string config, config_name;
  std::string commit;  ///< of a snapshot in the hub's cache
  std::string
      missing;  ///< why a checkpoint cannot be read and the command that fetches it; empty: it can
};
/// @throws Error when a folder or a configuration cannot be read
RowSource locate(const Row& row);

/// What a row's figures depend on, for --resume: the configuration, which weights, which tokens,
/// the kind of device, and the options that matter. Configurations stand by a hash, files by name,
/// size and time.
nlohmann::ordered_json row_inputs(const SuiteOptions& options, const Row& row,
                                  const RowSource& source);

/// File of tokens or pixels: of --calibration, else of the roster; empty: random ones.
std::filesystem::path calibration_file(const SuiteOptions& options, const RosterEntry& entry);

/// Why the record of an earlier run does not stand for this row; empty when it is whole. @param
/// record  filled where it is whole
std::string why_not_whole(const SuiteOptions& options, const Row& row, const RowSource& source,
                          nlohmann::ordered_json& record);

/// The command line that measures this row alone.
std::vector<std::string> row_arguments(const SuiteOptions& options, const Row& row);

/// Words as a shell takes them.
std::string command_line(const std::vector<std::string>& words);

}  // namespace deadray
