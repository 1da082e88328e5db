#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/module/cuda_operations.h"

// How a program finds the module with the kernels, libdeadray_cuda.so. Without libtorch.
namespace deadray {

/// The number of a CUDA device: "cuda" is 0, "cuda:3" is 3; empty for any other word.
std::optional<int> cuda_index(std::string_view device);

/// The operations that serve device `index`, from libdeadray_cuda.so beside the program or the
/// Python module, or from the file that the environment variable DEADRAY_KERNELS names.
/// @throws ResourceError in one line where the module or the device is missing, or CUDA does not
/// start
const kernels::CudaOperations& operations_of_device(int index);

/// How many devices this process sees. @throws ResourceError as operations_of_device() does
int visible_devices();

/// "13.0" of 13000, CUDA's own way to write a version as a number.
std::string cuda_version_text(int number);

}  // namespace deadray
