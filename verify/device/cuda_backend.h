#pragma once

#include <memory>

#include "kernels/module/cuda_operations.h"
#include "verify/device/backend.h"

namespace deadray {

/// The backend on CUDA device `index`: loads the kernels, then libtorch's CUDA side. To be called
/// before anything asks libtorch whether there is CUDA: libtorch keeps its first answer.
/// @throws ResourceError in one line where kernels, device or libtorch's CUDA side are missing
std::unique_ptr<Backend> make_cuda_backend(int index);

/// The same over given operations.
/// @param device  where tensors live; the CPU for the emulation of tests/simt
std::unique_ptr<Backend> make_cuda_backend(const kernels::CudaOperations& operations,
                                           at::Device device, int index);

}  // namespace deadray
