#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/hub_cache.h"
#include "host/hub/hub_program.h"

namespace deadray {

/// What a model is wanted for.
enum class HubPurpose {
  predict,  ///< its configuration, headers and norms
  census,   ///< its configuration, and what headers say
  weights   ///< all of it
};

struct ResolveOptions {
  HubPurpose purpose = HubPurpose::predict;
  HubProgram program;
  bool download = false;          ///< whole, into the Hugging Face cache, where it is not there yet
  std::string_view command = {};  ///< "verify": for the message that tells how to download
};

struct ResolvedModel {
  std::filesystem::path path;  ///< as given, or the folder or file that the name stands for
  /// What a path does not say: the revision that was asked for, the URL, the endpoint; absent where
  /// a path was given.
  std::optional<HubSnapshot> named;
};

struct ResolvedModels {
  std::vector<ResolvedModel> models;  ///< in the order given
  std::optional<HubTraffic> traffic;  ///< absent where the network was not asked
  std::vector<std::filesystem::path> paths() const;
};

/// Makes paths of what a user gave. What is there as a path is one; a name is looked for in the
/// Hugging Face cache, and where that lacks it, or holds it in part, deadray-hub fetches it. All
/// others stay what they are: whoever opens them says what is wrong.
/// @throws NetworkError where all of a model is wanted and it is not there, naming the command that
/// downloads it
/// @throws UsageError   a URL of something else than a file of weights
/// @throws as fetch_from_hub() does
ResolvedModels resolve_models(const std::vector<std::string>& given, const ResolveOptions& options);

/// Adds to what a path says of a snapshot what its name and the network have said.
/// @param place  of the model in `resolved`: two names may be of one snapshot
void add_origin(std::optional<HubSnapshot>& hub, const ResolvedModels& resolved, std::size_t place);

/// "12345 bytes in 9 requests, 3 of them one after another, 0.40 s".
std::string describe(const HubTraffic& traffic);

}  // namespace deadray
