#include <cublas_v2.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#include "tests/simt/inverted_block.h"

/// cuBLAS as far as the kernels use it, in plain loops over host memory, sums in FP64.
/// Column-major, as there.
namespace {

double at(cublasOperation_t operation, const double* a, int ld, int row, int column) {
  return operation == CUBLAS_OP_N ? a[row + std::ptrdiff_t{column} * ld]
                                  : a[column + std::ptrdiff_t{row} * ld];
}

/// Of the latest handle; products here do not depend on it.
cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(1);
  const char* const emulate = std::getenv("CUBLAS_EMULATE_DOUBLE_PRECISION");
  math_mode = emulate ? CUBLAS_FP64_EMULATED_FIXEDPOINT_MATH : CUBLAS_DEFAULT_MATH;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t, cublasMath_t* mode) {
  *mode = math_mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t mode) {
  math_mode = mode;
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

/// By inverted blocks of the diagonal, as libraries do for a device: right to rounding by the norm,
/// not element by element.
cublasStatus_t cublasDtrsm_v2(cublasHandle_t, cublasSideMode_t side, cublasFillMode_t fill,
                              cublasOperation_t trans, cublasDiagType_t diag, int m, int n,
                              const double* alpha, const double* a, int lda, double* b, int ldb) {
  if (side != CUBLAS_SIDE_LEFT || diag != CUBLAS_DIAG_NON_UNIT) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool forward = (fill == CUBLAS_FILL_MODE_LOWER) == (trans == CUBLAS_OP_N);
  const auto row_of = [&](int step) { return forward ? step : m - 1 - step; };
  for (int first = 0; first < m; first += simt::kInvertedBlock) {
    const int end = std::min(m, first + simt::kInvertedBlock);
    const simt::InvertedBlock inverse(end - first, [&](int i, int j) {
      return at(trans, a, lda, row_of(first + i), row_of(first + j));
    });
    for (int j = 0; j < n; ++j) {
      double* const x = b + std::ptrdiff_t{j} * ldb;
      double right[simt::kInvertedBlock];
      for (int step = first; step < end; ++step) {
        double sum = *alpha * x[row_of(step)];
        for (int l = 0; l < first; ++l)
          sum -= at(trans, a, lda, row_of(step), row_of(l)) * x[row_of(l)];
        right[step - first] = sum;
      }
      for (int step = first; step < end; ++step) {
        double sum = 0.0;
        for (int l = 0; l <= step - first; ++l) sum += inverse(step - first, l) * right[l];
        x[row_of(step)] = sum;
      }
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
