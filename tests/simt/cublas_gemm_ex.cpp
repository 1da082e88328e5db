#include <cublas_v2.h>

#include <cstdint>
#include <cstring>

/// cublasGemmEx for bfloat16, FP32 and FP64 in plain loops: sums in FP64, one rounding at the end.
namespace {

double load(const void* data, cudaDataType type, std::ptrdiff_t i) {
  if (type == CUDA_R_64F) return static_cast<const double*>(data)[i];
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  const std::uint32_t bits = std::uint32_t{static_cast<const std::uint16_t*>(data)[i]} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void store(double value, void* data, cudaDataType type, std::ptrdiff_t i) {
  if (type == CUDA_R_64F) {
    static_cast<double*>(data)[i] = value;
  } else if (type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = static_cast<float>(value);
  } else {
    const auto narrow = static_cast<float>(value);
    std::uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof bits);
    bits += 0x7fff + ((bits >> 16) & 1);  // to nearest even
    static_cast<std::uint16_t*>(data)[i] = static_cast<std::uint16_t>(bits >> 16);
  }
}

bool known(cudaDataType type) {
  return type == CUDA_R_64F || type == CUDA_R_32F || type == CUDA_R_16BF;
}

std::ptrdiff_t place(cublasOperation_t operation, int ld, int row, int column) {
  return operation == CUBLAS_OP_N ? row + std::ptrdiff_t{column} * ld
                                  : column + std::ptrdiff_t{row} * ld;
}

}  // namespace

extern "C" cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb,
                                       int m, int n, int k, const void* alpha, const void* a,
                                       cudaDataType a_type, int lda, const void* b,
                                       cudaDataType b_type, int ldb, const void* beta, void* c,
                                       cudaDataType c_type, int ldc, cublasComputeType_t compute,
                                       cublasGemmAlgo_t) {
  if (!known(a_type) || a_type != b_type || !known(c_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m < 0 || n < 0 || k < 0 || lda < 1 || ldb < 1 || ldc < 1 ||
      lda < (ta == CUBLAS_OP_N ? m : k) || ldb < (tb == CUBLAS_OP_N ? k : n) || ldc < m)
    return CUBLAS_STATUS_INVALID_VALUE;
  const cudaDataType scale_type = compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
  const double by = load(alpha, scale_type, 0), keep = load(beta, scale_type, 0);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0.0;
      for (int l = 0; l < k; ++l)
        sum += load(a, a_type, place(ta, lda, i, l)) * load(b, b_type, place(tb, ldb, l, j));
      const std::ptrdiff_t out = i + std::ptrdiff_t{j} * ldc;
      store(by * sum + (keep == 0.0 ? 0.0 : keep * load(c, c_type, out)), c, c_type, out);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}
