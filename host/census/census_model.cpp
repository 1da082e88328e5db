#include "host/census/census_model.h"

#include <algorithm>
#include <utility>

#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/model_config.h"
#include "host/base/input_file.h"
#include "host/formats/folder/folder_listing.h"
#include "host/formats/folder/model_folder.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestConfig = 10'000'000;

bool is_configuration(const fs::path& model) {
  std::error_code ignored;
  const std::string name = model.filename().string();
  return name.ends_with(".json") && !name.ends_with(".index.json") &&
         fs::is_regular_file(model, ignored);
}

/// A folder with a config.json and nothing that could be weights.
bool holds_configuration_alone(const fs::path& model) {
  std::error_code ignored;
  if (!fs::is_directory(model, ignored) || !has_config(model)) return false;
  const FolderListing listing = list_folder(model);
  return listing.adapters.empty() && listing.dangling.empty() &&
         std::all_of(listing.formats.begin(), listing.formats.end(),
                     [](const auto& format) { return format.empty(); });
}

void append(std::vector<std::string>& notes, const std::vector<std::string>& more) {
  notes.insert(notes.end(), more.begin(), more.end());
}

ModelCensus census_of_files(const fs::path& model, const CheckpointOptions& options) {
  Checkpoint checkpoint = Checkpoint::open(model, options);
  const Config config = model_config(checkpoint);
  return census_of_weights(std::move(checkpoint), config, options.strict);
}

}  // namespace

ModelCensus census_of_config(const Config& config) {
  ModelCensus result;
  const Architecture architecture = describe_architecture(config);
  result.family = architecture.family;
  result.census = census_of(architecture, std::nullopt);
  append(result.census.notes, architecture.notes);
  return result;
}

ModelCensus census_of_weights(Checkpoint weights, const Config& config, bool strict) {
  ModelCensus result;
  std::optional<Checkpoint> checkpoint(std::move(weights));
  std::vector<std::string> notes = checkpoint->notes();
  Architecture architecture = describe_architecture(config);
  fit_to_checkpoint(architecture, *checkpoint, strict);
  result.family = architecture.family;
  result.has_weights = true;
  result.census = census_of(architecture, checkpoint);
  append(notes, architecture.notes);
  append(notes, result.census.notes);
  result.census.notes = std::move(notes);
  return result;
}

ModelCensus census_of_model(const fs::path& model, const CheckpointOptions& options) {
  ModelCensus result =
      is_configuration(model)
          ? census_of_config(Config::parse(read_text_file(model, kLargestConfig), model))
      : holds_configuration_alone(model) ? census_of_config(Config::load(model))
                                         : census_of_files(model, options);
  result.name = model_name(model);
  result.hub = hub_snapshot(model);
  return result;
}

}  // namespace deadray
