#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/container.h"

namespace deadray {

/// The files of one format in a folder, in order of name.
struct FormatListing {
  std::vector<std::string> files;    ///< of weights, by their names
  std::vector<std::string> indices;  ///< of sharded sets
  /// As a file, not as a folder or a link that leads nowhere.
  bool holds(std::string_view name) const;
  bool empty() const { return files.empty() && indices.empty(); }
};

/// The names in a folder, sorted by what they can mean for us.
struct FolderListing {
  std::array<FormatListing, 4> formats;  ///< indexed by ContainerFormat
  std::vector<std::string> all, adapters, dangling;

  const FormatListing& of(ContainerFormat format) const {
    return formats[static_cast<std::size_t>(format)];
  }
};

/// Trainers leave further files of PyTorch's behind (training_args.bin, optimizer.pt, …): weights
/// are those that are called as weights are, and where there is none of that name the others but
/// for what is known to be none.
/// @throws ResourceError where the folder cannot be listed
FolderListing list_folder(const std::filesystem::path& folder);

/// Whether a name is one under which weights are commonly stored: "model…", "pytorch_model…".
bool is_called_weights(std::string_view name);

/// Whether a name is that of a sharded set's index, of any format.
bool is_index_name(std::string_view name);

}  // namespace deadray
