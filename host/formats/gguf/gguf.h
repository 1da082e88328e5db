#pragma once

#include <cstddef>

#include "host/base/input_file.h"
#include "host/formats/container.h"

namespace deadray {

/// Whether a file begins as GGUF does, or as one of the formats before it.
bool looks_like_gguf(const InputFile& file);

/// Reads keys and tensors of a GGUF file, version 2 or 3, under its own names. Shapes are
/// row-major: GGUF's dimensions in reverse.
/// @throws MalformedError   damaged; names key or tensor and byte
/// @throws UnsupportedError another version, big-endian, an older format, an unknown type
ContainerHeader read_gguf_header(const InputFile& file, const CheckpointOptions& options,
                                 std::size_t file_index);

}  // namespace deadray
