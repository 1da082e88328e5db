#pragma once

#include <cublas_v2.h>
#include <cusolverDn.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/cuda_context.h"
#include "kernels/cuda/cuda_operation.cuh"

namespace deadray::kernels::cuda {

struct Context {
  int device = 0;
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  cusolverDnParams_t solver_parameters = nullptr;
  void* blas_workspace = nullptr;
  std::vector<std::byte> host_workspace;
  /// For an operation that overlaps two kinds of work: a stream beside the caller's, of the highest
  /// priority, and marks by which the two are ordered.
  Stream side = nullptr;
  cudaEvent_t produced[2] = {}, consumed[2] = {};

  /// The handles' work goes to `stream` from now on.
  void use(Stream stream, const Operation& operation);

  /// Host memory, which cuSOLVER's 64-bit interface asks for too. It is kept, and as large as the
  /// largest call wanted.
  void* host_memory(std::size_t bytes) {
    if (host_workspace.size() < bytes) host_workspace.resize(bytes);
    return host_workspace.data();
  }
};

}  // namespace deadray::kernels::cuda
