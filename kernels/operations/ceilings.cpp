#include "kernels/operations/ceilings.h"

#include "kernels/cuda/cuda_context.cuh"

namespace deadray::kernels::cuda {

// cuBLAS is column-major: it sees c^T [n, m] = (b^T)^T a^T.
void dgemm(Context& context, std::int64_t m, std::int64_t n, std::int64_t k, const double* a,
           const double* b, double* c, Stream stream) {
  const Operation operation("dgemm", {{"m", m}, {"n", n}, {"k", k}});
  context.use(stream, operation);
  const double one = 1.0, zero = 0.0;
  const auto rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  operation.check(cublasDgemm(context.blas, CUBLAS_OP_T, CUBLAS_OP_N, rows, columns, inner, &one, b,
                              inner, a, inner, &zero, c, rows),
                  "cublasDgemm");
}

void bf16_gemm(Context& context, std::int64_t m, std::int64_t n, std::int64_t k, const BFloat16* a,
               const BFloat16* b, BFloat16* c, Stream stream) {
  const Operation operation("bf16_gemm", {{"m", m}, {"n", n}, {"k", k}});
  context.use(stream, operation);
  const float one = 1.0F, zero = 0.0F;
  const auto rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  operation.check(cublasGemmEx(context.blas, CUBLAS_OP_T, CUBLAS_OP_N, rows, columns, inner, &one,
                               b, CUDA_R_16BF, inner, a, CUDA_R_16BF, inner, &zero, c, CUDA_R_16BF,
                               rows, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                  "cublasGemmEx");
}

}  // namespace deadray::kernels::cuda
