#pragma once

#include <cstdint>

#include "host/base/input_file.h"
#include "host/formats/tensor_info.h"

namespace deadray {

/// Reads elements [first, first + count) of a tensor, in row-major order, whatever their order and
/// coding in the file. Contiguous elements take one read; a transposed tensor's take a buffer as
/// large as the part of the file that they span. Thread-safe.
/// @param destination  count * size_of(tensor.dtype) bytes
/// @throws MalformedError when the file ends early
void read_elements(const InputFile& file, const TensorInfo& tensor, std::int64_t first,
                   std::int64_t count, void* destination);

}  // namespace deadray
