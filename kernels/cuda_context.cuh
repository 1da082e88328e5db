#pragma once

#include <cublas_v2.h>
#include <cusolverDn.h>

#include "kernels/cuda_context.h"
#include "kernels/cuda_operation.cuh"

namespace deadray::kernels::cuda {

struct Context {
  int device = 0;
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  cusolverDnParams_t solver_parameters = nullptr;
  void* blas_workspace = nullptr;
  /// For an operation that overlaps two kinds of work: a stream beside the caller's, and marks to order the two by.
  Stream side = nullptr;
  cudaEvent_t produced[2] = {}, consumed[2] = {};

  /// The handles' work goes to `stream` from now on.
  void use(Stream stream, const Operation& operation);
};

}  // namespace deadray::kernels::cuda
