#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace deadray {

/// A model of our roster, scripts/rosters/fourteen.json.
struct RosterModel {
  std::string name, family, hf_id, norm;
  std::int64_t parameters = 0;
  std::string config;  ///< its config.json
};

/// A record of results/ and the worst verdict over its norms.
struct ModelRecord {
  std::string name, family, init, verdict;
};

/// What has been verified of which model.
struct KnownModels {
  std::string note;  ///< whose choice the roster is
  std::vector<RosterModel> roster;
  /// Of each family, how many small models are compared with transformers block by block.
  std::map<std::string, int> fixtures;
  std::vector<ModelRecord> records;
};

/// Reads share/deadray/models.json, which cmake/DeadrayRecords.cmake makes from the roster, the
/// fixtures' index and results/.
/// @throws MalformedError where it is not what CMake writes; and as InputFile does
KnownModels read_known_models(const std::filesystem::path& file);

}  // namespace deadray
