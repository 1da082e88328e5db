#include "host/command/models/named_models.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <system_error>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/output.h"
#include "host/command/program_folder.h"
#include "host/hub/choose_revisions.h"
#include "host/hub/hub_name.h"

namespace deadray {

void add_download_option(CLI::App& command, bool& download) {
  command.add_flag("--download", download,
                   "Where MODEL is org/name[@revision] and not in the Hugging Face cache: download "
                   "it there first");
}

HubProgram hub_program(bool quiet) {
  return {program_folder().value_or(std::filesystem::path()), quiet, /*keep_messages=*/false};
}

ResolvedModels find_models(const std::vector<std::string>& given, HubPurpose purpose,
                           std::string_view command, bool download, bool quiet) {
  ResolvedModels found = resolve_models(given, {purpose, hub_program(quiet), download, command});
  if (found.traffic && !quiet) write_message("hub: " + describe(*found.traffic));
  return found;
}

std::vector<std::string> models_of_revisions(const std::string& model,
                                             const std::vector<std::string>& list, bool quiet) {
  std::error_code ignored;
  const bool is_path = std::filesystem::exists(model, ignored);
  const std::optional<HubName> name = is_path ? std::nullopt : parse_hub_name(model);
  if (!name || name->is_url() || !name->revision.empty())
    throw UsageError(fmt::format(
        "--revisions: takes a model of the hub, org/name, not {}; give checkpoints that are here "
        "as several MODELs",
        in_quotes(is_url(model) ? shown_url(model) : model)));
  const auto all = [&] { return hub_revisions(hub_program(quiet), name->repository); };
  std::vector<std::string> models;
  for (const std::string& revision : choose_revisions(list, all))
    models.push_back(name->repository + "@" + revision);
  return models;
}

}  // namespace deadray
