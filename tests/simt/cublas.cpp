#include <cublas_v2.h>

#include <cmath>

#include <cstdint>
#include <cstring>

/// cuBLAS as far as the kernels use it, in plain loops over host memory, sums in FP64. Column-major, as there.
namespace {

/// Element i of a matrix of FP32 or bfloat16.
double element(const void* a, cudaDataType type, std::ptrdiff_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(a)[i];
  const std::uint32_t bits = std::uint32_t{static_cast<const std::uint16_t*>(a)[i]} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double at(cublasOperation_t operation, const double* a, int ld, int row, int column) {
  return operation == CUBLAS_OP_N ? a[row + std::ptrdiff_t{column} * ld] : a[column + std::ptrdiff_t{row} * ld];
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetProperty(libraryPropertyType, int* value) {
  *value = 0;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS"; }
const char* cublasGetStatusString(cublasStatus_t) { return "a cuBLAS status"; }

cublasStatus_t cublasDgemm_v2(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const double* alpha,
                              const double* a, int lda, const double* b, int ldb, const double* beta, double* c, int ldc) {
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0.0;
      for (int l = 0; l < k; ++l) sum += at(ta, a, lda, i, l) * at(tb, b, ldb, l, j);
      double& out = c[i + std::ptrdiff_t{j} * ldc];
      out = *alpha * sum + (*beta == 0.0 ? 0.0 : *beta * out);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

/// Of the combinations of types those with FP32 or bfloat16 factors, of one type, and an FP32 product.
cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int lda, const void* b, cudaDataType b_type, int ldb, const void* beta,
                            void* c, cudaDataType c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if ((a_type != CUDA_R_32F && a_type != CUDA_R_16BF) || b_type != a_type || c_type != CUDA_R_32F || compute != CUBLAS_COMPUTE_32F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m < 0 || n < 0 || k < 0 || lda < 1 || lda < (ta == CUBLAS_OP_N ? m : k) || ldb < 1 || ldb < (tb == CUBLAS_OP_N ? k : n) || ldc < m)
    return CUBLAS_STATUS_INVALID_VALUE;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0.0;
      for (int l = 0; l < k; ++l) {
        sum += element(a, a_type, ta == CUBLAS_OP_N ? i + std::ptrdiff_t{l} * lda : l + std::ptrdiff_t{i} * lda) *
               element(b, b_type, tb == CUBLAS_OP_N ? l + std::ptrdiff_t{j} * ldb : j + std::ptrdiff_t{l} * ldb);
      }
      float& out = static_cast<float*>(c)[i + std::ptrdiff_t{j} * ldc];
      out = static_cast<float>(scale * sum + (keep == 0.0f ? 0.0 : keep * static_cast<double>(out)));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDsyrk_v2(cublasHandle_t, cublasFillMode_t fill, cublasOperation_t trans, int n, int k, const double* alpha,
                              const double* a, int lda, const double* beta, double* c, int ldc) {
  for (int j = 0; j < n; ++j) {
    for (int i = fill == CUBLAS_FILL_MODE_LOWER ? j : 0; i < (fill == CUBLAS_FILL_MODE_LOWER ? n : j + 1); ++i) {
      double sum = 0.0;
      for (int l = 0; l < k; ++l) sum += at(trans, a, lda, i, l) * at(trans, a, lda, j, l);
      double& out = c[i + std::ptrdiff_t{j} * ldc];
      out = *alpha * sum + (*beta == 0.0 ? 0.0 : *beta * out);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDgemv_v2(cublasHandle_t, cublasOperation_t trans, int m, int n, const double* alpha, const double* a, int lda,
                              const double* x, int incx, const double* beta, double* y, int incy) {
  const int rows = trans == CUBLAS_OP_N ? m : n, columns = trans == CUBLAS_OP_N ? n : m;
  for (int i = 0; i < rows; ++i) {
    double sum = 0.0;
    for (int l = 0; l < columns; ++l) sum += at(trans, a, lda, i, l) * x[std::ptrdiff_t{l} * incx];
    double& out = y[std::ptrdiff_t{i} * incy];
    out = *alpha * sum + (*beta == 0.0 ? 0.0 : *beta * out);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDtrsm_v2(cublasHandle_t, cublasSideMode_t side, cublasFillMode_t fill, cublasOperation_t trans, cublasDiagType_t diag,
                              int m, int n, const double* alpha, const double* a, int lda, double* b, int ldb) {
  if (side != CUBLAS_SIDE_LEFT) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool forward = (fill == CUBLAS_FILL_MODE_LOWER) == (trans == CUBLAS_OP_N);
  for (int j = 0; j < n; ++j) {
    double* const x = b + std::ptrdiff_t{j} * ldb;
    for (int step = 0; step < m; ++step) {
      const int i = forward ? step : m - 1 - step;
      double sum = *alpha * x[i];
      for (int l = forward ? 0 : i + 1; l < (forward ? i : m); ++l) sum -= at(trans, a, lda, i, l) * x[l];
      x[i] = diag == CUBLAS_DIAG_UNIT ? sum : sum / at(trans, a, lda, i, i);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
