#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "host/architecture/config.h"
#include "host/census/census.h"
#include "host/formats/hub_cache.h"

namespace deadray {

/// The census of a model, with what it is called.
struct ModelCensus {
  std::string name, family;
  std::optional<HubSnapshot> hub;  ///< where the model is a snapshot of the hub's cache
  bool has_weights = false;        ///< whether scales were read
  Census census;
};

/// @param model  folder with config.json, with weights or without; a config.json; a file of weights
/// @throws Error of every kind that Checkpoint, Config and describe_architecture() throw
ModelCensus census_of_model(const std::filesystem::path& model, const CheckpointOptions& options);

// The same of what is not on disk; name and hub are the caller's to fill in.
ModelCensus census_of_config(const Config& config);
/// @param config  of the model; `checkpoint` has the family's names
ModelCensus census_of_weights(Checkpoint checkpoint, const Config& config, bool strict);

}  // namespace deadray
