#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "host/hub/resolve_models.h"

// Models that a command line names instead of giving a path: `org/name[@revision]` and URLs.
namespace deadray {

/// --download.
void add_download_option(CLI::App& command, bool& download);

/// Makes paths of them, and says on standard error what the network was asked for.
/// @param command  its name, for messages
/// @throws as resolve_models() does
ResolvedModels find_models(const std::vector<std::string>& given, HubPurpose purpose,
                           std::string_view command, bool download, bool quiet);

/// Where deadray-hub is looked for.
HubProgram hub_program(bool quiet);

/// `name@revision` for each revision that a list of names and patterns chooses.
/// @throws UsageError where `model` is a path, a URL, or has a revision already; as
/// choose_revisions() and hub_revisions() do
std::vector<std::string> models_of_revisions(const std::string& model,
                                             const std::vector<std::string>& list, bool quiet);

}  // namespace deadray
