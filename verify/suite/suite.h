#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/roster.h"
#include "host/command/common_options.h"
#include "host/command/inputs.h"
#include "host/prediction/predictor.h"
#include "verify/measure/measurement.h"
#include "verify/suite/shard.h"

// A suite is a list of rows; a row is a model of the roster with one initialisation. The parent
// process walks over the rows, and each is measured by a process of its own: one that fails, or is
// killed for its memory, takes no other with it, and the peak memory of each is its own.
// suite_report.h tells what they came to.
namespace deadray {

struct SuiteOptions {
  std::filesystem::path roster, out, calibration;
  std::vector<std::string> only;
  std::vector<Source> init = {Source::random, Source::checkpoint};
  Method method = Method::eigh;
  DType dtype = DType::bf16;
  std::string site = "final", device = "cpu";
  std::uint64_t seed = 0;
  std::int64_t random_tokens = 0, sequence_length = 0;  ///< 0: the default
  std::int64_t skip_tokens = 0;
  double relative_tau = PredictOptions{}.relative_tau;
  int threads = 0;
  bool no_residual = false, resume = false;
  bool download = false;                     ///< checkpoints that the hub's cache lacks
  std::optional<Shard> shard;                ///< the part to run; none: all of it
  std::vector<std::filesystem::path> merge;  ///< folders of parts to put together; none: measure
  CheckpointOptions checkpoint;
  OutputOptions output;
};

struct Row {
  RosterEntry entry;
  Source init = Source::random;
  std::string name() const { return entry.name + "." + std::string(to_string(init)); }
};

/// Models in the roster's order, each with every initialisation in the order asked for; of a part
/// those that it takes.
std::vector<Row> rows_of(const Roster& roster, const SuiteOptions& options);

/// Where a row's configuration and weights come from.
struct RowSource {
  std::filesystem::path weights;  ///< empty for random initialisation
  std::string config, config_name;
  std::string commit;  ///< of a snapshot in the hub's cache
  /// Why a checkpoint is not there, and the command that fetches it; empty: it is.
  std::string missing;
};
/// @throws Error when a folder or a configuration cannot be read
RowSource locate(const Row& row);

/// File of tokens or pixels: of --calibration, else of the roster; empty: random ones.
std::filesystem::path calibration_file(const SuiteOptions& options, const RosterEntry& entry);

/// The roster, and what its rows read.
Inputs inputs_of(const SuiteOptions& options, const std::vector<Row>& rows);

/// The command line that measures this row alone.
std::vector<std::string> row_arguments(const SuiteOptions& options, const Row& row);

/// Words as a shell takes them.
std::string command_line(const std::vector<std::string>& words);

}  // namespace deadray
