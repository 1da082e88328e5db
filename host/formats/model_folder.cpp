#include "host/formats/model_folder.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"
#include "host/formats/file_kind.h"
#include "host/formats/hub_cache.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

/// The names in a folder, sorted by what they can mean for us.
struct Listing {
  std::vector<std::string> all, safetensors, indices, convertible, adapters;
  bool holds(std::string_view name) const {
    return std::binary_search(all.begin(), all.end(), name);
  }
};

/// Trainers leave further .bin files behind (training_args.bin, optimizer.bin, …): only these stems
/// are weights.
bool is_weights_name(std::string_view name) {
  for (const std::string_view stem :
       {"pytorch_model", "consolidated", "model", "diffusion_pytorch_model"})
    if (name.starts_with(stem)) return true;
  return name.ends_with(".gguf");
}

Listing list_folder(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    listing.all.push_back(entry->path().filename().string());
  if (error)
    throw ResourceError(
        fmt::format("{}: cannot list the folder: {}", folder.string(), error.message()));
  std::sort(listing.all.begin(), listing.all.end());
  for (const std::string& name : listing.all) {
    if (name.starts_with("adapter_"))
      listing.adapters.push_back(name);
    else if (name.ends_with(kIndexSuffix))
      listing.indices.push_back(name);
    else if (name.ends_with(".safetensors"))
      listing.safetensors.push_back(name);
    else if (convertible_format(name) && is_weights_name(name))
      listing.convertible.push_back(name);
  }
  return listing;
}

std::string shown_names(const std::vector<std::string>& names) { return first_few(names, 8); }

/// What the adapter says it was trained on; empty when it does not.
std::string base_model(const fs::path& folder) {
  try {
    const fs::path file = folder / "adapter_config.json";
    return parse_json_object(read_text_file(file), file).value("base_model_name_or_path", "");
  } catch (const std::exception&) {
    return "";  // only a hint is lost
  }
}

[[noreturn]] void throw_no_weights(const fs::path& folder, const Listing& listing) {
  if (!listing.convertible.empty()) {
    const fs::path file = folder / listing.convertible.front();
    throw_convertible(file, *convertible_format(file));
  }
  if (!listing.adapters.empty()) {
    const std::string base = base_model(folder);
    throw UnsupportedError(fmt::format(
        "{}: holds an adapter ({}) only, no norms here; give the base model{}", folder.string(),
        shown_names(listing.adapters), base.empty() ? "" : " " + in_quotes(base)));
  }
  throw UnsupportedError(fmt::format(
      "{}: no weights: found {}, expected model.safetensors or model{}", folder.string(),
      listing.all.empty() ? "nothing" : shown_names(listing.all), kIndexSuffix));
}

/// The set to read, in the order of preference that transformers has too.
WeightFiles choose(const fs::path& folder, const Listing& listing) {
  if (listing.holds("model.safetensors")) return {folder / "model.safetensors", false, {}};
  const std::string index = "model" + std::string(kIndexSuffix);
  if (listing.holds(index)) return {folder / index, true, {}};
  if (listing.indices.size() == 1) return {folder / listing.indices.front(), true, {}};
  if (listing.indices.empty() && listing.safetensors.size() == 1)
    return {folder / listing.safetensors.front(), false, {}};
  if (listing.indices.empty() && listing.safetensors.empty()) throw_no_weights(folder, listing);
  const std::vector<std::string>& found =
      listing.indices.empty() ? listing.safetensors : listing.indices;
  throw MalformedError(
      fmt::format("{}: {} and no model.safetensors or {} that says which to read: give one of the "
                  "files, or restore the index",
                  folder.string(), shown_names(found), index));
}

/// Weights beside the chosen ones: other formats, shards that a single file makes superfluous,
/// Mistral's consolidated copy.
std::vector<std::string> other_sets(const Listing& listing, const WeightFiles& chosen) {
  std::vector<std::string> others = listing.convertible;
  for (const std::string& name : listing.safetensors)
    if (name != chosen.file.filename() &&
        (!chosen.is_index || name == "model.safetensors" || name.starts_with("consolidated")))
      others.push_back(name);
  return others;
}

}  // namespace

std::string model_name(const fs::path& model) {
  std::error_code error;
  const bool is_folder = fs::is_directory(model, error);
  if (const auto snapshot = is_folder ? hub_snapshot(model) : std::nullopt)
    return snapshot->repository.substr(snapshot->repository.find('/') + 1);
  const fs::path folder = is_folder ? fs::canonical(model, error) : model;
  return (error ? model : folder).filename().string();
}

WeightFiles find_weights(const fs::path& model, bool strict) {
  std::error_code error;
  const fs::file_status status = fs::status(model, error);
  if (status.type() == fs::file_type::not_found)
    throw UsageError(fmt::format("{}: no such file or folder", model.string()));
  if (status.type() != fs::file_type::directory) {
    if (const auto format = convertible_format(model)) throw_convertible(model, *format);
    return {model, model.filename().string().ends_with(kIndexSuffix), {}};
  }
  const Listing listing = list_folder(model);
  WeightFiles chosen = choose(model, listing);
  const std::vector<std::string> others = other_sets(listing, chosen);
  if (others.empty()) return chosen;
  std::string note =
      fmt::format("{}: holds more than one set of weights: {} is taken, not {}", model.string(),
                  chosen.file.filename().string(), shown_names(others));
  if (strict) throw MalformedError(note + ": remove one of them, or give the file itself");
  chosen.notes.push_back(std::move(note));
  return chosen;
}

}  // namespace deadray
