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
#include "host/formats/safetensors.h"
#include "host/formats/shard_index.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

/// The names in a folder, sorted by what they can mean for us.
struct Listing {
  std::vector<std::string> all, safetensors, indices, convertible, adapters, dangling;
  /// As a file, not as a folder or a link that leads nowhere.
  bool holds(std::string_view name) const {
    return std::binary_search(safetensors.begin(), safetensors.end(), name) ||
           std::binary_search(indices.begin(), indices.end(), name);
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
    if (!fs::is_regular_file(folder / name, error)) {
      if (fs::is_symlink(folder / name, error) && !fs::exists(folder / name, error))
        listing.dangling.push_back(name);
    } else if (name.starts_with("adapter_"))
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

/// The scales of norms that an adapter's file holds; empty where it cannot be read.
std::vector<std::string> norms_in_adapter(const fs::path& file) {
  std::vector<std::string> norms;
  try {
    for (const TensorInfo& tensor : read_safetensors_header(InputFile(file), {}, 0).tensors)
      if (looks_like_norm(tensor.name) && tensor.shape.size() == 1) norms.push_back(tensor.name);
  } catch (const Error&) {
    norms.clear();  // only a hint is lost
  }
  return norms;
}

[[noreturn]] void throw_adapter(const fs::path& folder, const Listing& listing) {
  const std::string named = base_model(folder);
  const std::string base = named.empty() ? "" : " " + in_quotes(named);
  for (const std::string& name : listing.adapters)
    if (const auto norms = norms_in_adapter(folder / name); !norms.empty())
      throw UnsupportedError(fmt::format(
          "{}: is an adapter with norms of its own, which replace the base model's ({}): merge it "
          "into the base model{} first",
          (folder / name).string(), first_few(norms), base));
  throw UnsupportedError(
      fmt::format("{}: holds an adapter ({}) only, no norms here; give the base "
                  "model{}",
                  folder.string(), shown_names(listing.adapters), base));
}

/// Where sentence-transformers keeps the transformer itself: a folder inside; empty: not known.
std::string inner_transformer(const fs::path& folder) {
  try {
    const fs::path file = folder / "modules.json";
    const auto modules = nlohmann::json::parse(read_text_file(file));
    const std::string path = modules.at(0).at("path");
    return fs::is_directory(folder / path) ? path : "";
  } catch (const std::exception&) {
    return "";  // only a hint is lost
  }
}

[[noreturn]] void throw_no_weights(const fs::path& folder, const Listing& listing) {
  for (const std::string& name : listing.dangling) refuse_dangling_link(folder / name);
  std::error_code error;
  for (const std::string& name : listing.all)
    if (name.ends_with(".safetensors") && fs::is_directory(folder / name, error))
      throw MalformedError(fmt::format("{}: is a folder, expected a regular file: no weights in {}",
                                       (folder / name).string(), folder.string()));
  if (!listing.convertible.empty()) {
    const fs::path file = folder / listing.convertible.front();
    throw_convertible(file, *convertible_format(file));
  }
  if (!listing.adapters.empty()) throw_adapter(folder, listing);
  if (const std::string inner = inner_transformer(folder); !inner.empty())
    throw UnsupportedError(
        fmt::format("{}: is a sentence-transformers folder, whose transformer is in {}: give that "
                    "folder",
                    folder.string(), (folder / inner).string()));
  throw UnsupportedError(fmt::format(
      "{}: no weights: found {}, expected model.safetensors or model{}", folder.string(),
      listing.all.empty() ? "nothing" : shown_names(listing.all), kIndexSuffix));
}

/// A sharded set whose files say by their numbers that they are all of it.
WeightFiles without_index(const fs::path& folder, const NumberedShards& set) {
  if (!set.missing.empty())
    throw MalformedError(fmt::format(
        "{}: no index, and of the shards {} to {} these are missing: {}; fetch them into "
        "the folder",
        folder.string(), set.present.front(), set.present.back(), shown_names(set.missing)));
  WeightFiles chosen{folder / set.present.front()};
  for (const std::string& name : set.present) chosen.shards.push_back(folder / name);
  chosen.notes.push_back(
      fmt::format("{}: no index of the shards: all {} that their names count are "
                  "read",
                  folder.string(), set.present.size()));
  return chosen;
}

/// The set to read, in the order of preference that transformers has too.
WeightFiles choose(const fs::path& folder, const Listing& listing) {
  refuse_dangling_link(folder / "model.safetensors");
  if (listing.holds("model.safetensors")) return {folder / "model.safetensors"};
  const std::string index = "model" + std::string(kIndexSuffix);
  if (listing.holds(index)) return {folder / index, true};
  if (listing.indices.size() == 1) return {folder / listing.indices.front(), true};
  if (const auto set =
          listing.indices.empty() ? numbered_shards(listing.safetensors) : std::nullopt)
    return without_index(folder, *set);
  if (listing.indices.empty() && listing.safetensors.size() == 1)
    return {folder / listing.safetensors.front()};
  if (listing.indices.empty() && listing.safetensors.empty()) throw_no_weights(folder, listing);
  const std::vector<std::string>& found =
      listing.indices.empty() ? listing.safetensors : listing.indices;
  throw MalformedError(
      fmt::format("{}: {} and no model.safetensors or {} that says which to read: give one of the "
                  "files, or restore the index",
                  folder.string(), shown_names(found), index));
}

bool is_shard_of(const WeightFiles& chosen, const std::string& name) {
  return std::any_of(chosen.shards.begin(), chosen.shards.end(),
                     [&](const fs::path& shard) { return shard.filename() == name; });
}

/// Weights beside the chosen ones: other formats, shards that a single file makes superfluous,
/// Mistral's consolidated copy.
std::vector<std::string> other_sets(const Listing& listing, const WeightFiles& chosen) {
  std::vector<std::string> others = listing.convertible;
  for (const std::string& name : listing.safetensors)
    if (name != chosen.file.filename() && !is_shard_of(chosen, name) &&
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
  if (status.type() == fs::file_type::not_found) refuse_dangling_link(model);
  if (status.type() == fs::file_type::not_found)
    throw UsageError(fmt::format("{}: no such file or folder", model.string()));
  if (status.type() != fs::file_type::directory) {
    if (const auto format = convertible_format(model)) throw_convertible(model, *format);
    return {model, model.filename().string().ends_with(kIndexSuffix)};
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
