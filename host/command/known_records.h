#pragma once

#include <array>
#include <cstdint>

// What cmake/DeadrayRecords.cmake lists when the build is configured, so that `deadray models`
// opens no file. Lists end with an empty entry, since there may be none.
namespace deadray {

/// A model of our roster, scripts/rosters/fourteen.json.
struct RosterModel {
  const char *name, *family, *hf_id, *norm;
  std::int64_t parameters;
  const char* config;  ///< its config.json
};

/// Small models of a family whose every block is compared with transformers'.
struct FixtureCount {
  const char* family;
  int count;
};

/// A record of results/: the worst verdict over its norms.
struct ModelRecord {
  const char *name, *family, *init, *verdict;
};

}  // namespace deadray
