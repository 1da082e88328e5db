#pragma once

#include <cstddef>

#include "host/base/input_file.h"
#include "host/formats/container.h"

namespace deadray {

/// Whether a file is a zip archive whose first member is an array, as numpy.savez() writes it.
bool looks_like_npz(const InputFile& file);

/// Reads the arrays of a NumPy .npz file, stored plain.
/// @throws MalformedError   damaged; UnsupportedError compressed members, object arrays, big-endian
ContainerHeader read_npz_header(const InputFile& file, const CheckpointOptions& options,
                                std::size_t file_index);

}  // namespace deadray
