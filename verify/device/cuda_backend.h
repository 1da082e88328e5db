#pragma once

#include <memory>

#include "kernels/module/cuda_operations.h"
#include "verify/device/backend.h"

namespace deadray {

/// The backend on CUDA device `index`: loads the kernels, then libtorch's CUDA side. To be called
/// before anything asks libtorch about CUDA, whose answer it keeps.
/// @throws ResourceError in one line where kernels, device or libtorch's CUDA side are missing
std::unique_ptr<Backend> make_cuda_backend(int index);

/// The same over given operations; tensors live on `device`, the CPU for the emulation of
/// tests/simt.
std::unique_ptr<Backend> make_cuda_backend(const kernels::CudaOperations& operations,
                                           at::Device device, int index);

}  // namespace deadray
