#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

namespace deadray {

/// A GGUF model may be split into files that are numbered by their keys.
/// @param file_index  its place among the files that were given, in order
/// @throws MalformedError when this file has another place among the parts
void require_part_number(const std::filesystem::path& file,
                         const std::map<std::string, std::string>& metadata,
                         std::size_t file_index);

/// @param first     the first part, for messages
/// @param metadata  of the first part
/// @throws MalformedError unless these are all parts and all tensors
void require_all_parts(const std::filesystem::path& first,
                       const std::map<std::string, std::string>& metadata, std::size_t n_files,
                       std::size_t n_tensors);

}  // namespace deadray
