#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace deadray {

/// Which tensor is in which shard, as the index of a sharded model says.
struct WeightMap {
  std::vector<std::pair<std::string, std::size_t>> tensors;  ///< in order of name
  std::map<std::string, std::size_t, std::less<>> shards;    ///< numbered as they appeared
};

/// @param text  {"metadata": {…}, "weight_map": {tensor: shard}}
/// @param file  for messages
/// @throws MalformedError no JSON object, or no weight_map of tensors and shards
WeightMap read_weight_map(const std::string& text, const std::filesystem::path& file);

}  // namespace deadray
