#include <cublas_v2.h>

#include <cstddef>

/// cuBLAS as far as the kernels use it, in plain loops over host memory, sums in FP64.
/// Column-major, as there.
namespace {

double at(cublasOperation_t operation, const double* a, int ld, int row, int column) {
  return operation == CUBLAS_OP_N ? a[row + std::ptrdiff_t{column} * ld]
                                  : a[column + std::ptrdiff_t{row} * ld];
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetProperty(libraryPropertyType, int* value) {
  *value = 0;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS"; }
const char* cublasGetStatusString(cublasStatus_t) { return "a cuBLAS status"; }

cublasStatus_t cublasDgemm_v2(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m,
                              int n, int k, const double* alpha, const double* a, int lda,
                              const double* b, int ldb, const double* beta, double* c, int ldc) {
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

cublasStatus_t cublasDsyrk_v2(cublasHandle_t, cublasFillMode_t fill, cublasOperation_t trans, int n,
                              int k, const double* alpha, const double* a, int lda,
                              const double* beta, double* c, int ldc) {
  for (int j = 0; j < n; ++j) {
    for (int i = fill == CUBLAS_FILL_MODE_LOWER ? j : 0;
         i < (fill == CUBLAS_FILL_MODE_LOWER ? n : j + 1); ++i) {
      double sum = 0.0;
      for (int l = 0; l < k; ++l) sum += at(trans, a, lda, i, l) * at(trans, a, lda, j, l);
      double& out = c[i + std::ptrdiff_t{j} * ldc];
      out = *alpha * sum + (*beta == 0.0 ? 0.0 : *beta * out);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDgemv_v2(cublasHandle_t, cublasOperation_t trans, int m, int n,
                              const double* alpha, const double* a, int lda, const double* x,
                              int incx, const double* beta, double* y, int incy) {
  const int rows = trans == CUBLAS_OP_N ? m : n, columns = trans == CUBLAS_OP_N ? n : m;
  for (int i = 0; i < rows; ++i) {
    double sum = 0.0;
    for (int l = 0; l < columns; ++l) sum += at(trans, a, lda, i, l) * x[std::ptrdiff_t{l} * incx];
    double& out = y[std::ptrdiff_t{i} * incy];
    out = *alpha * sum + (*beta == 0.0 ? 0.0 : *beta * out);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDtrsm_v2(cublasHandle_t, cublasSideMode_t side, cublasFillMode_t fill,
                              cublasOperation_t trans, cublasDiagType_t diag, int m, int n,
                              const double* alpha, const double* a, int lda, double* b, int ldb) {
  if (side != CUBLAS_SIDE_LEFT) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool forward = (fill == CUBLAS_FILL_MODE_LOWER) == (trans == CUBLAS_OP_N);
  for (int j = 0; j < n; ++j) {
    double* const x = b + std::ptrdiff_t{j} * ldb;
    for (int step = 0; step < m; ++step) {
      const int i = forward ? step : m - 1 - step;
      double sum = *alpha * x[i];
      for (int l = forward ? 0 : i + 1; l < (forward ? i : m); ++l)
        sum -= at(trans, a, lda, i, l) * x[l];
      x[i] = diag == CUBLAS_DIAG_UNIT ? sum : sum / at(trans, a, lda, i, i);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
