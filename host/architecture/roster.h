#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/norm_site.h"

namespace deadray {

/// One model of a roster: where its configuration and its weights are, and what is expected of it.
struct RosterEntry {
  std::string name;            ///< of the record's file too: letters, digits, '.', '_', '-'
  std::string hf_id;           ///< of the hub, whose cache holds the weights; empty: none
  std::string revision;        ///< there; empty: the default branch
  std::filesystem::path path;  ///< local folder with config.json and weights; empty: none
  /// The text of config.json, enough for random initialisation; empty: the folder's own.
  std::string config;
  std::string config_name;                 ///< in messages: "fourteen.json: gpt2-xl: config"
  std::optional<NormKind> norm;            ///< expected of the final norm
  std::optional<std::int64_t> parameters;  ///< expected
  std::string gated;  ///< why a download needs more than a command; empty: it does not
  std::filesystem::path calibration;  ///< tokens or pixels; empty: random ones
  std::int64_t sequence_length = 0;   ///< 0: the suite's
};

struct Roster {
  std::filesystem::path file;
  std::string note;  ///< for whoever reads its results: whose choice of models it is
  std::string text;  ///< of the file
  std::vector<RosterEntry> models;
};

/// Reads a roster as docs/suite.md describes it. Paths in it are relative to its own folder.
/// @throws MalformedError naming file, entry and key: an unknown key, a value of another type, two
/// entries of one name, an entry without config and path, an hf_id that is none
Roster read_roster(const std::filesystem::path& file);

/// The entries of these names, in the roster's order; all where none is given.
/// @throws UsageError with near names
std::vector<RosterEntry> select_models(const Roster& roster, const std::vector<std::string>& names);

}  // namespace deadray
