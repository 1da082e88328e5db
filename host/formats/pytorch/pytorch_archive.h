#pragma once

#include <cstddef>

#include "host/base/input_file.h"
#include "host/formats/container.h"

namespace deadray {

/// Whether a file begins as torch.save() writes it: a zip archive, a pickle stream, a tar archive.
bool looks_like_pytorch(const InputFile& file);

/// Reads the tables of a PyTorch file: which tensors it holds and where their storages lie.
/// @throws MalformedError   damaged
/// @throws UnsupportedError sound, but something else: a pickle that calls anything but what state
/// dicts need, or holds no tensors; a TorchScript program; compressed members
ContainerHeader read_pytorch_header(const InputFile& file, const CheckpointOptions& options,
                                    std::size_t file_index);

}  // namespace deadray
