#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/hub_cache.h"

namespace deadray {

/// How deadray-hub, the program that talks to the network, is found and heard.
struct HubProgram {
  std::filesystem::path beside;  ///< the folder of this program; the PATH is looked at after it
  bool quiet = false;            ///< no progress
  /// What it says on standard error becomes the message of an Error, instead of going where ours
  /// goes: for a library.
  bool keep_messages = false;
};

/// deadray-hub ended without a result and has said why: this program ends with the same code and
/// says nothing more.
struct HubFailed {
  int exit_code;
};

/// A model that deadray-hub has made a folder of.
struct FetchedModel {
  std::filesystem::path path;  ///< a folder, or the file in it that a URL named
  std::string revision, commit, endpoint;
};

struct HubAnswer {
  std::vector<FetchedModel> models;  ///< in the order of the names
  HubTraffic traffic;
};

/// @param purpose  "predict" or "census": headers and norms alone
/// @throws HubFailed, or with keep_messages an Error
/// @throws ResourceError where there is no such program, saying how to get it
/// @throws InternalError where it answered something else than agreed
HubAnswer fetch_from_hub(const HubProgram& program, std::string_view purpose,
                         const std::vector<std::string>& names);
/// Whole, into the Hugging Face cache. @throws as fetch_from_hub() does
HubAnswer download_from_hub(const HubProgram& program, const std::string& name);
/// The names of the branches and tags. @throws as fetch_from_hub() does
std::vector<std::string> hub_revisions(const HubProgram& program, const std::string& repository);

}  // namespace deadray
