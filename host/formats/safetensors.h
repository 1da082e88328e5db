#pragma once

#include <cstddef>

#include "host/base/input_file.h"
#include "host/formats/container.h"

namespace deadray {

/// Reads and checks the header of a safetensors file: 8 bytes of length, that many bytes of JSON,
/// then the tensors' bytes without gap or overlap. The metadata are the optional "__metadata__".
/// Two reads; O(n log n) in the number of tensors.
/// @param file_index  stored into every TensorInfo::file
/// @throws MalformedError naming file, tensor, field and what was expected. A tensor of unknown
/// dtype is no error until it is read.
ContainerHeader read_safetensors_header(const InputFile& file,
                                        const CheckpointOptions& options = {},
                                        std::size_t file_index = 0);

}  // namespace deadray
