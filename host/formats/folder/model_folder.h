#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace deadray {

/// What records and tables call a model: the last component of its path. "." and links stand for
/// the folder that they lead to. A snapshot in the hub's cache, whose folder is called by its
/// commit, has the repository's name without its owner.
std::string model_name(const std::filesystem::path& model);

/// Which files of a model's folder hold its weights.
struct WeightFiles {
  std::filesystem::path file;  ///< a file of weights, or the index of a sharded set
  bool is_index = false;
  std::vector<std::string> notes{};  ///< further sets of weights that were passed over
  /// All files of a sharded set that lacks its index, `file` the first of them; else empty.
  std::vector<std::filesystem::path> shards{};
};

/// Of a folder safetensors are taken before PyTorch's files, these before GGUF, then .npz.
/// @param model  a folder, a file of weights, the index of a sharded set, or the first part of a
/// numbered one
/// @param strict a second set of weights is an error instead of a note
/// @throws UsageError       no such path; a later part of a numbered set
/// @throws UnsupportedError an adapter, or no weights at all; says what was found
/// @throws MalformedError   several files and neither an index nor their numbers say how they
/// belong together; a shard that is missing; a link that leads nowhere
WeightFiles find_weights(const std::filesystem::path& model, bool strict);

/// Of a path where nothing is. @throws UsageError with what to give instead
[[noreturn]] void refuse_missing(const std::filesystem::path& model);

}  // namespace deadray
