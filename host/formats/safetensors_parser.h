#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

#include "host/formats/safetensors.h"

namespace deadray {

/// Turns the header's JSON into tensors as it is read, without a document in between; tensors come
/// in the order of the text. Everything that one tensor's entry alone can have wrong is checked
/// here; what concerns several of them is not.
/// @param data_bytes  size of the file after the header
/// @throws MalformedError naming tensor and field, or the place in the text
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::filesystem::path& file,
                                           std::uint64_t data_bytes, std::size_t file_index);

}  // namespace deadray
