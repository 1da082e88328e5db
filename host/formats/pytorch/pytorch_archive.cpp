#include "host/formats/pytorch/pytorch_archive.h"

#include <string>

#include "host/formats/pytorch/layouts.h"
#include "host/formats/pytorch/tar_members.h"
#include "host/formats/zip/zip_directory.h"

namespace deadray {

bool looks_like_pytorch(const InputFile& file) {
  std::string first;
  return looks_like_zip(file, first) || looks_like_torch_stream(file) || looks_like_tar(file);
}

ContainerHeader read_pytorch_header(const InputFile& file, const CheckpointOptions& options,
                                    std::size_t file_index) {
  if (looks_like_torch_stream(file)) return read_torch_stream(file, options, file_index);
  if (looks_like_tar(file)) return read_torch_tar(file, options, file_index);
  return read_torch_zip(file, options, file_index);
}

}  // namespace deadray
