#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace deadray {

/// A `*.safetensors.index.json`: which shard holds which tensor.
struct ShardIndex {
  std::vector<std::filesystem::path> shards;  ///< in order of name, each of them existing
  std::vector<std::pair<std::string, std::size_t>>
      tensors;              ///< name and index into shards, in order of name
  std::uint64_t bytes = 0;  ///< of the index file
};

/// @throws MalformedError no JSON object, no weight_map, a shard that is missing (with what is
/// lost), or whose path leaves the model's tree
ShardIndex read_shard_index(const std::filesystem::path& file);

}  // namespace deadray
