#include "kernels/cuda_error.h"

#include <string>

#include "kernels/cuda_check.cuh"

namespace deadray::kernels::cuda {
namespace {

CudaError::Kind kind_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return CudaError::Kind::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
      return CudaError::Kind::no_device;
    default:
      return CudaError::Kind::other;
  }
}

/// "device 0 (NVIDIA H100, sm_90)", or "no device". Clears no error but its own.
std::string current_device() {
  int device = 0;
  cudaDeviceProp properties;
  if (cudaGetDevice(&device) != cudaSuccess || cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
    cudaGetLastError();
    return "no device";
  }
  return "device " + std::to_string(device) + " (" + properties.name + ", sm_" + std::to_string(properties.major) +
         std::to_string(properties.minor) + ")";
}

}  // namespace

void check(cudaError_t status, const char* call, const char* operation, std::initializer_list<Extent> shape) {
  if (status == cudaSuccess) return;
  std::string message = std::string(operation) + "[";
  for (const Extent& extent : shape) {
    if (message.back() != '[') message += ", ";
    message += std::string(extent.name) + "=" + std::to_string(extent.value);
  }
  throw CudaError(kind_of(status), message + "] on " + current_device() + ": " + call + " gave " + cudaGetErrorName(status) + ": " +
                                       cudaGetErrorString(status));
}

}  // namespace deadray::kernels::cuda
