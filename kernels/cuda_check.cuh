#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>

namespace deadray::kernels::cuda {

/// One extent of an operation's arguments, for messages.
struct Extent {
  const char* name;
  std::int64_t value;
};

/// @throws CudaError unless status is cudaSuccess
void check(cudaError_t status, const char* call, const char* operation, std::initializer_list<Extent> shape);

}  // namespace deadray::kernels::cuda
