#include "host/formats/folder/folder_listing.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/formats/file_kind.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".index.json";
constexpr std::string_view kWeights[] = {"pytorch_model", "consolidated", "model", "weights",
                                         "diffusion_pytorch_model"};
/// Beside weights: what training programs need to go on, and a picture tower's GGUF.
constexpr std::string_view kBeside[] = {"training_args", "optimizer", "scheduler", "rng_state",
                                        "random_states", "sampler",   "scaler",    "trainer_state",
                                        "mmproj",        "tokenizer", "vocab"};

bool is_beside(std::string_view name) {
  return std::any_of(std::begin(kBeside), std::end(kBeside),
                     [&](std::string_view stem) { return name.starts_with(stem); }) ||
         name.find("optim_states") != name.npos;
}

/// The format whose sharded set a file is the index of.
std::optional<ContainerFormat> format_of_index(std::string_view name) {
  if (!name.ends_with(kIndexSuffix)) return std::nullopt;
  return format_of_name(name.substr(0, name.size() - kIndexSuffix.size()));
}

void sort_in(FolderListing& listing, const std::string& name) {
  if (name.starts_with("adapter_")) {
    if (format_of_name(name) || name.ends_with(".json")) listing.adapters.push_back(name);
  } else if (const auto indexed = format_of_index(name)) {
    listing.formats[static_cast<std::size_t>(*indexed)].indices.push_back(name);
  } else if (const auto format = format_of_name(name); format && !is_beside(name)) {
    listing.formats[static_cast<std::size_t>(*format)].files.push_back(name);
  }
}

}  // namespace

bool FormatListing::holds(std::string_view name) const {
  return std::binary_search(files.begin(), files.end(), name) ||
         std::binary_search(indices.begin(), indices.end(), name);
}

bool is_called_weights(std::string_view name) {
  return std::any_of(std::begin(kWeights), std::end(kWeights),
                     [&](std::string_view stem) { return name.starts_with(stem); });
}

bool is_index_name(std::string_view name) { return format_of_index(name).has_value(); }

FolderListing list_folder(const fs::path& folder) {
  FolderListing listing;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    listing.all.push_back(entry->path().filename().string());
  if (error)
    throw ResourceError(
        fmt::format("{}: cannot list the folder: {}", folder.string(), error.message()));
  std::sort(listing.all.begin(), listing.all.end());
  for (const std::string& name : listing.all) {
    if (fs::is_regular_file(folder / name, error))
      sort_in(listing, name);
    else if (fs::is_symlink(folder / name, error) && !fs::exists(folder / name, error))
      listing.dangling.push_back(name);
  }
  std::vector<std::string>& pytorch =
      listing.formats[static_cast<std::size_t>(ContainerFormat::pytorch)].files;
  if (std::any_of(pytorch.begin(), pytorch.end(), is_called_weights))
    std::erase_if(pytorch, [](const std::string& name) { return !is_called_weights(name); });
  return listing;
}

}  // namespace deadray
