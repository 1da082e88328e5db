#include "host/formats/pytorch/pytorch_archive.h"

#include "host/base/error.h"

namespace deadray {

bool looks_like_pytorch(const InputFile&) { return false; }

ContainerHeader read_pytorch_header(const InputFile& file, const CheckpointOptions&, std::size_t) {
  throw UnsupportedError(file.path().string() + ": PyTorch files are not read yet");
}

}  // namespace deadray
