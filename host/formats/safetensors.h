#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/base/input_file.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// What one safetensors file says about itself: 8 bytes of length, that many bytes of JSON, then
/// the tensors' bytes without gap or overlap.
struct SafetensorsHeader {
  std::vector<TensorInfo>
      tensors;  ///< in order of name, names unique, every byte range inside the file
  std::map<std::string, std::string> metadata;  ///< the optional "__metadata__"
  std::uint64_t bytes = 0;                      ///< of the header, its 8 bytes of length included
  std::vector<std::string> notes;
};

/// Reads and checks the header: two reads, O(n log n) in the number of tensors.
/// @param file_index  stored into every TensorInfo::file
/// @throws MalformedError naming file, tensor, field and what was expected; a tensor of unknown
/// dtype is no error until it is read
SafetensorsHeader read_safetensors_header(const InputFile& file,
                                          const CheckpointOptions& options = {},
                                          std::size_t file_index = 0);

}  // namespace deadray
