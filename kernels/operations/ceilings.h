#pragma once

#include <cstdint>

#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/cuda_context.h"

/// Bare products by cuBLAS: ceilings that a benchmark holds the other operations against.
namespace deadray::kernels::cuda {

/// c = a b^T, all row-major and contiguous in device memory: a [m, k], b [n, k], c [m, n]; 2 m n k
/// flops. Extents below 2^31. Asynchronous on `stream`. @throws CudaError
void dgemm(Context& context, std::int64_t m, std::int64_t n, std::int64_t k, const double* a,
           const double* b, double* c, Stream stream);

/// The same in bfloat16, accumulated in FP32.
void bf16_gemm(Context& context, std::int64_t m, std::int64_t n, std::int64_t k, const BFloat16* a,
               const BFloat16* b, BFloat16* c, Stream stream);

}  // namespace deadray::kernels::cuda
