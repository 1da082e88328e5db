#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/formats/tensor_info.h"

namespace deadray {

/// A `*.safetensors.index.json` or `*.bin.index.json`: which shard holds which tensor.
struct ShardIndex {
  std::filesystem::path file;
  std::vector<std::filesystem::path> shards;  ///< in order of name, each of them existing
  /// Name and index into shards, in order of name.
  std::vector<std::pair<std::string, std::size_t>> tensors;
  std::uint64_t bytes = 0;  ///< of the index file
};

/// "model-00002-of-00003.safetensors", taken apart.
struct ShardName {
  std::string stem, suffix;  ///< "model", ".safetensors"
  std::size_t number = 0, count = 0;

  std::string of(std::size_t other) const;  ///< the name of another of the set
};

/// Absent for a name of another form.
std::optional<ShardName> shard_name(std::string_view name);

/// The files of one sharded set, by their names alone: "model-00002-of-00003.safetensors".
struct NumberedShards {
  std::vector<std::string> present;  ///< in order
  std::vector<std::string> missing;
};

/// The only such set among these names; absent where there is none, or more than one.
std::optional<NumberedShards> numbered_shards(const std::vector<std::string>& names);

/// @throws MalformedError no JSON object or no weight_map; a shard that is missing, with what is
/// lost; a shard whose path leaves the model's tree
ShardIndex read_shard_index(const std::filesystem::path& file);

/// Of the tensors of all shards the copy that the index points to, in order of name. A tensor that
/// the index does not name is kept when there is one copy of it.
/// @param tensors  of each shard in order of name; TensorInfo::file is an index into index.shards
/// @param notes    gains a line on tensors that the index does not name, and one on further copies
/// @throws MalformedError a shard lacks a tensor that the index maps to it; or two shards hold a
/// tensor that the index does not name
std::vector<TensorInfo> choose_copies(const ShardIndex& index, std::vector<TensorInfo> tensors,
                                      std::vector<std::string>& notes);

/// The tensors of shards that no index describes, in order of name.
/// @param files  TensorInfo::file is an index into it
/// @throws MalformedError where two of them hold one tensor
std::vector<TensorInfo> join_shards(const std::vector<std::filesystem::path>& files,
                                    std::vector<TensorInfo> tensors);

}  // namespace deadray
