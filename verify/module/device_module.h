#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/module/cuda_operations.h"

// The kernels' module as a program finds it. No libtorch.
namespace deadray {

/// "cuda" is 0, "cuda:3" is 3; empty for any other word.
std::optional<int> cuda_index(std::string_view device);

/// The operations that serve a device: of libdeadray_cuda.so beside the program, or of the module
/// that DEADRAY_KERNELS names.
/// @throws ResourceError in one line where the module, any device, or this one is missing, or CUDA
/// does not start
const kernels::CudaOperations& operations_of_device(int index);

/// "13.0" of 13000, as CUDA counts.
std::string cuda_version_text(int number);

}  // namespace deadray
