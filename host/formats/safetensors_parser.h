#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "host/formats/container.h"

namespace deadray {

/// A file begins with the length of its header, in so many bytes.
constexpr std::size_t kLengthBytes = 8;

/// Turns the header's JSON into tensors and metadata as it is read, without a document in between.
/// Tensors come in the order of the text. Checked is all that one tensor's entry alone can have
/// wrong; what concerns several of them is left to read_safetensors_header().
/// @param data_bytes  size of the file after the header
/// @throws MalformedError naming tensor and field, or the place in the text
ContainerHeader parse_safetensors_header(std::string_view json, const std::filesystem::path& file,
                                         std::uint64_t data_bytes, std::size_t file_index);

}  // namespace deadray
