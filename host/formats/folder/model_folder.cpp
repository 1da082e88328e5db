#include "host/formats/folder/model_folder.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"
#include "host/formats/folder/folder_listing.h"
#include "host/formats/folder/model_hints.h"
#include "host/formats/folder/own_files.h"
#include "host/formats/hub_cache.h"
#include "host/formats/safetensors.h"
#include "host/formats/shard_index.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestHint = 1'000'000;  // bytes of a file that makes an error clearer

std::string shown_names(const std::vector<std::string>& names) { return first_few(names, 8); }

/// What the adapter says it was trained on; empty when it does not.
std::string base_model(const fs::path& folder) {
  try {
    const fs::path file = folder / "adapter_config.json";
    refuse_link_outside(file, folder);
    return parse_json_object(read_text_file(file, kLargestHint), file)
        .value("base_model_name_or_path", "");
  } catch (const std::exception&) {
    return "";  // only a hint is lost
  }
}

/// The scales of norms that an adapter's file holds; empty where it cannot be read.
std::vector<std::string> norms_in_adapter(const fs::path& file) {
  std::vector<std::string> norms;
  try {
    refuse_link_outside(file, file.parent_path());
    for (const TensorInfo& tensor : read_safetensors_header(InputFile(file), {}, 0).tensors)
      if (looks_like_norm(tensor.name) && tensor.shape.size() == 1) norms.push_back(tensor.name);
  } catch (const Error&) {
    norms.clear();  // only a hint is lost
  }
  return norms;
}

[[noreturn]] void throw_adapter(const fs::path& folder, const FolderListing& listing) {
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
    const auto modules = nlohmann::json::parse(read_text_file(file, kLargestHint));
    const std::string path = modules.at(0).at("path");
    return fs::is_directory(folder / path) && !outside(folder / path, folder) ? path : "";
  } catch (const std::exception&) {
    return "";  // only a hint is lost
  }
}

[[noreturn]] void throw_no_weights(const fs::path& folder, const FolderListing& listing) {
  for (const std::string& name : listing.dangling) refuse_dangling_link(folder / name);
  std::error_code error;
  for (const std::string& name : listing.all)
    if (name.ends_with(".safetensors") && fs::is_directory(folder / name, error))
      throw MalformedError(fmt::format("{}: is a folder, expected a regular file: no weights in {}",
                                       (folder / name).string(), folder.string()));
  if (!listing.adapters.empty()) throw_adapter(folder, listing);
  if (const std::string inner = inner_transformer(folder); !inner.empty())
    throw UnsupportedError(
        fmt::format("{}: is a sentence-transformers folder, whose transformer is in {}: give that "
                    "folder",
                    folder.string(), (folder / inner).string()));
  throw UnsupportedError(
      fmt::format("{}: no weights: found {}, expected model.safetensors, its index, or a .bin, "
                  ".gguf or .npz file{}",
                  folder.string(), listing.all.empty() ? "nothing" : shown_names(listing.all),
                  hint_for_folder(folder, listing)));
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

/// What a format's weights are called when a folder holds one set of them.
struct SetNames {
  ContainerFormat format;
  std::string_view single, index;  ///< empty: the format has no such name
};
/// In the order of preference, which is that of transformers.
constexpr SetNames kSets[] = {
    {ContainerFormat::safetensors, "model.safetensors", "model.safetensors.index.json"},
    {ContainerFormat::pytorch, "pytorch_model.bin", "pytorch_model.bin.index.json"},
    {ContainerFormat::gguf, "", ""},
    {ContainerFormat::numpy, "", ""},
};

[[noreturn]] void throw_several(const fs::path& folder, const std::vector<std::string>& found,
                                const SetNames& names) {
  if (names.single.empty())
    throw MalformedError(fmt::format("{}: {}: each is a set of weights of its own: give the file",
                                     folder.string(), shown_names(found)));
  throw MalformedError(
      fmt::format("{}: {} and no {} or {} that says which to read: give one of the files, or "
                  "restore the index",
                  folder.string(), shown_names(found), names.single, names.index));
}

/// The set of one format; nothing where the folder has none.
std::optional<WeightFiles> choose(const fs::path& folder, const FormatListing& listing,
                                  const SetNames& names) {
  if (!names.single.empty()) {
    refuse_dangling_link(folder / names.single);
    if (listing.holds(names.single)) return WeightFiles{folder / names.single};
    if (listing.holds(names.index)) return WeightFiles{folder / names.index, true};
  }
  if (listing.indices.size() == 1) return WeightFiles{folder / listing.indices.front(), true};
  if (!listing.indices.empty()) throw_several(folder, listing.indices, names);
  if (const auto set = numbered_shards(listing.files);
      set && (!names.single.empty() || set->present.size() == listing.files.size()))
    return without_index(folder, *set);
  if (listing.files.size() == 1) return WeightFiles{folder / listing.files.front()};
  if (!listing.files.empty()) throw_several(folder, listing.files, names);
  return std::nullopt;
}

bool is_shard_of(const WeightFiles& chosen, const std::string& name) {
  return std::any_of(chosen.shards.begin(), chosen.shards.end(),
                     [&](const fs::path& shard) { return shard.filename() == name; });
}

/// Weights beside the chosen ones: other formats, shards that a single file makes superfluous,
/// Mistral's consolidated copy.
std::vector<std::string> other_sets(const FolderListing& listing, const WeightFiles& chosen,
                                    const SetNames& names) {
  std::vector<std::string> others;
  for (const SetNames& set : kSets)
    for (const std::string& name : listing.of(set.format).files) {
      const bool same = set.format == names.format;
      if (same ? name != chosen.file.filename() && !is_shard_of(chosen, name) &&
                     (!chosen.is_index || name == names.single || name.starts_with("consolidated"))
               : is_called_weights(name) || set.format == ContainerFormat::gguf)
        others.push_back(name);
    }
  return others;
}

WeightFiles find_in_folder(const fs::path& folder, bool strict) {
  const FolderListing listing = list_folder(folder);
  for (const SetNames& names : kSets) {
    std::optional<WeightFiles> chosen = choose(folder, listing.of(names.format), names);
    if (!chosen) continue;
    const std::vector<std::string> others = other_sets(listing, *chosen, names);
    if (others.empty()) return *std::move(chosen);
    std::string note =
        fmt::format("{}: holds more than one set of weights: {} is taken, not {}", folder.string(),
                    chosen->file.filename().string(), shown_names(others));
    if (strict) throw MalformedError(note + ": remove one of them, or give the file itself");
    chosen->notes.push_back(std::move(note));
    return *std::move(chosen);
  }
  throw_no_weights(folder, listing);
}

/// The first file of a set that is numbered stands for all of it. A safetensors shard, which has
/// been read alone since before, stands for itself.
std::optional<WeightFiles> find_by_first_part(const fs::path& file) {
  const auto part = shard_name(file.filename().string());
  if (!part || part->suffix == ".safetensors" || part->count < 2) return std::nullopt;
  const fs::path folder = file.parent_path();
  if (part->number != 1)
    throw UsageError(fmt::format("{}: is part {} of {}: give the first part, {}", file.string(),
                                 part->number, part->count, (folder / part->of(1)).string()));
  NumberedShards set;
  std::error_code error;
  for (std::size_t i = 1; i <= part->count; ++i)
    (fs::exists(folder / part->of(i), error) ? set.present : set.missing).push_back(part->of(i));
  return without_index(folder, set);
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

void refuse_missing(const fs::path& model) {
  refuse_dangling_link(model);
  throw UsageError(
      fmt::format("{}: no such file or folder{}", model.string(), hint_for_missing(model)));
}

WeightFiles find_weights(const fs::path& model, bool strict) {
  std::error_code error;
  const fs::file_status status = fs::status(model, error);
  if (status.type() == fs::file_type::not_found) refuse_missing(model);
  if (status.type() == fs::file_type::directory) return find_in_folder(model, strict);
  if (is_index_name(model.filename().string())) return {model, true};
  return find_by_first_part(model).value_or(WeightFiles{model});
}

}  // namespace deadray
