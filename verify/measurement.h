#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture.h"
#include "host/checkpoint.h"
#include "host/command_line.h"
#include "host/error.h"
#include "host/hub_cache.h"
#include "verify/calibration.h"
#include "verify/executor.h"
#include "verify/probe.h"
#include "verify/residual_stream.h"

namespace deadray {

/// Where the time of a measurement went, in seconds; `load` is the wait for weights, `forward` is
/// what the others leave of the total.
struct Seconds {
  double predict = 0, load = 0, forward = 0, moments = 0, spectrum = 0, total = 0;
};

/// Where the numbers under measurement come from.
enum class Source { checkpoint, random, activations };
std::string_view to_string(Source source) noexcept;

/// A model ready to run: its description, its weights, its norms.
struct Model {
  std::string name;
  std::optional<HubSnapshot> hub;  ///< where its folder is a snapshot of the hub's cache
  Architecture architecture;
  std::optional<Checkpoint> checkpoint;  ///< absent for random initialisation
  std::unique_ptr<Weights> weights;
  std::vector<NormSite> sites;
  Source source = Source::checkpoint;
  std::uint64_t seed = 0;
};

struct ModelOptions {
  bool random = false;  ///< draw the weights instead of reading them; config.json is enough then
  std::uint64_t seed = 0;
  CheckpointOptions checkpoint;
  Backend* backend =
      &cpu_backend();  ///< where the model is to run and be measured; outlives the model
};

/// @throws MalformedError, UnsupportedError as the readers do
std::unique_ptr<Model> prepare_model(const std::filesystem::path& path,
                                     const ModelOptions& options);
/// The same with a name and a configuration of its own. @param weights  folder or file; read only
/// when options.random is not set
std::unique_ptr<Model> prepare_model(std::string name, const Config& config,
                                     const std::filesystem::path& weights,
                                     const ModelOptions& options);

struct MeasurementOptions {
  ProbeOptions probe;
  std::string site = "final";
  bool residual = false;       ///< also the singular values of the residual stream
  std::filesystem::path dump;  ///< empty: none
  bool dump_logits = false;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< per block; may be empty
};

struct Measurement {
  std::vector<SiteResult> sites;  ///< in order of evaluation
  std::optional<ResidualSpectrum> residual;
  Seconds seconds;
  std::vector<std::string> notes;  ///< what the user should know of the run although it is no error
  /// By a signal before the run was at its end: `sites` holds those that were, `residual` nothing.
  std::optional<Stopped> stopped;
};

/// refuted when any site is, else undetermined when any is, else done.
ExitCode exit_code_of(const Measurement& measurement);

/// Runs the model once over the tokens, on the backend of its weights, and measures the chosen
/// norms as they pass.
/// @throws UnsupportedError for logits of a model without a head, ResourceError for a dump that
/// cannot be written,
///         Stopped after a stop signal before any norm was measured, once catch_stop_signals() was
///         called
Measurement measure(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options);

}  // namespace deadray
