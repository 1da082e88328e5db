#pragma once

#include <cstddef>

#include "host/base/input_file.h"
#include "host/formats/container.h"

// The three ways in which torch.save() has laid out a file. Each finds the pickle of what was saved
// and the storages of its tensors; state_dict.h makes named tensors of them.
namespace deadray {

/// Since 1.6: a zip archive with data.pkl and data/0, data/1, …, stored plain. Checksums of the
/// storages are not compared: that would read them all.
ContainerHeader read_torch_zip(const InputFile& file, const CheckpointOptions& options,
                               std::size_t file_index);
/// Since 0.1.10: five pickles (a magic number, a version, the machine, what was saved, the keys of
/// its storages), then the storages in the order of the keys.
ContainerHeader read_torch_stream(const InputFile& file, const CheckpointOptions& options,
                                  std::size_t file_index);
/// Before: a tar archive with the members storages, tensors and pickle.
ContainerHeader read_torch_tar(const InputFile& file, const CheckpointOptions& options,
                               std::size_t file_index);

/// Whether a file begins with the pickled magic number of the stream, in any protocol.
bool looks_like_torch_stream(const InputFile& file);

}  // namespace deadray
