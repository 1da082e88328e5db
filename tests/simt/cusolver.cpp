#include <cusolverDn.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/simt/inverted_block.h"

/// cuSOLVER as far as the kernels use it, on host memory: a Cholesky factorisation by inverted
/// blocks of the diagonal, as libraries do for a device, and one cyclic Jacobi method behind all
/// three eigensolvers. They read the triangle that is named, and spoil the whole workspace that
/// they asked for.
///
/// The variables DEADRAY_SIMT_XSYEVD, …_XSYEVDX and …_DSYEVJ make that solver go wrong:
///   "status", "memory"  the call fails, or fails for want of memory
///   "info"              it did not converge
///   "nan"               an eigenvector holds one
///   "value"             an eigenvalue is off by 1e-9 of the largest
///   "vector"            an eigenvector is turned by 1e-9
///   "order"             the first and last eigenpair change places
///   "skew"              the orthogonality is 20 n u
/// or make its query of workspace
///   "query refuses", "query wants memory"  fail
///   "query takes any size"                 pass where cuSOLVER 12 would refuse
///   "query overflows"                      pass with a negative size
/// Xsyevdx asks for more memory the fewer eigenpairs are wanted, which nothing forbids, and fails
/// where it is given less.
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void spoil(void* memory, std::size_t bytes) {
  if (bytes > 0) std::memset(memory, 0xff, bytes);
}

/// The symmetric matrix that the named triangle stands for.
std::vector<double> symmetric(cublasFillMode_t fill, const double* a, std::int64_t n,
                              std::int64_t lda) {
  std::vector<double> full(static_cast<std::size_t>(n * n));
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = j; i < n; ++i)
      full[static_cast<std::size_t>(i + j * n)] = full[static_cast<std::size_t>(j + i * n)] =
          fill == CUBLAS_FILL_MODE_LOWER ? a[i + j * lda] : a[j + i * lda];
  }
  return full;
}

/// Turns columns p and q of [n, n]: (x, y) becomes (c x - s y, s x + c y).
void turn(double* x, double* y, std::int64_t n, std::int64_t stride, double c, double s) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double before = x[i * stride];
    x[i * stride] = c * before - s * y[i * stride];
    y[i * stride] = s * before + c * y[i * stride];
  }
}

/// Makes a[p, q] zero. Source: Golub and Van Loan, Matrix Computations, section 8.5.
void rotate(double* a, double* v, std::int64_t n, std::int64_t p, std::int64_t q) {
  const double tau = (a[q + q * n] - a[p + p * n]) / (2 * a[p + q * n]);
  const double t = std::copysign(1.0, tau) / (std::fabs(tau) + std::hypot(1.0, tau)),
               c = 1 / std::sqrt(1 + t * t), s = t * c;
  turn(a + p * n, a + q * n, n, 1, c, s);
  turn(a + p, a + q, n, n, c, s);
  turn(v + p * n, v + q * n, n, 1, c, s);
  a[p + q * n] = a[q + p * n] = 0.0;
}

/// Eigenvalues, ascending, to w; the first `count` eigenvectors to the columns of a, NaN to the
/// others.
void jacobi(cublasFillMode_t fill, double* a, std::int64_t n, std::int64_t lda, double* w,
            std::int64_t count) {
  std::vector<double> work = symmetric(fill, a, n, lda), v(work.size());
  for (std::int64_t i = 0; i < n; ++i) v[static_cast<std::size_t>(i * (n + 1))] = 1.0;
  // What n^2 elements of this size add to the residual is one unit of n u |A|_F; a smaller bound
  // would turn rounding errors about.
  const double negligible =
      0x1p-53 * std::sqrt(std::inner_product(work.begin(), work.end(), work.begin(), 0.0));
  for (int sweep = 0, rotations = 1; sweep < 30 && rotations > 0; ++sweep) {
    rotations = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) {
        if (!(std::fabs(work[static_cast<std::size_t>(p + q * n)]) > negligible)) continue;
        rotate(work.data(), v.data(), n, p, q);
        ++rotations;
      }
    }
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int64_t i) { return work[static_cast<std::size_t>(i * (n + 1))]; };
  std::sort(order.begin(), order.end(),
            [&](std::int64_t i, std::int64_t j) { return value(i) < value(j); });
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t from = order[static_cast<std::size_t>(j)];
    w[j] = j < count ? value(from) : kNaN;
    const double* const vector = v.data() + from * n;
    // Rotations by equal angles round alike, so that the length drifts.
    const double length = std::sqrt(std::inner_product(vector, vector + n, vector, 0.0));
    for (std::int64_t i = 0; i < n; ++i) a[i + j * lda] = j < count ? vector[i] / length : kNaN;
  }
}

/// What the variable says, or nothing.
std::string mode_of(const char* variable) {
  const char* const given = std::getenv(variable);
  return given ? given : "";
}

/// The solver, and what the variable makes of it.
cusolverStatus_t solve(const char* variable, cublasFillMode_t fill, double* a, std::int64_t n,
                       std::int64_t lda, double* w, std::int64_t count, int* info) {
  const std::string mode = mode_of(variable);
  *info = 0;
  if (mode == "status") return CUSOLVER_STATUS_EXECUTION_FAILED;
  if (mode == "memory") return CUSOLVER_STATUS_ALLOC_FAILED;
  jacobi(fill, a, n, lda, w, count);
  const std::int64_t last = count - 1;
  if (mode == "info") *info = 1;
  if (mode == "nan") a[last * lda] = kNaN;
  if (mode == "value") w[last / 2] += 1e-9 * w[last];
  if (mode == "vector") turn(a, a + last * lda, n, 1, std::cos(1e-9), std::sin(1e-9));
  if (mode == "skew") {
    for (std::int64_t i = 0; i < n; ++i)
      a[i] += 20 * static_cast<double>(n) * 0x1p-53 / std::sqrt(2.0) * a[i + last * lda];
  }
  if (mode == "order") {
    std::swap(w[0], w[last]);
    std::swap_ranges(a, a + n, a + last * lda);
  }
  return CUSOLVER_STATUS_SUCCESS;
}

/// The workspace of Xsyevd and Xsyevdx, whose doubles cuSOLVER 12 counts in an int.
cusolverStatus_t query(const char* variable, std::int64_t n, std::size_t* device,
                       std::size_t* host) {
  const std::string mode = mode_of(variable);
  if (mode == "query refuses") return CUSOLVER_STATUS_INVALID_VALUE;
  if (mode == "query wants memory") return CUSOLVER_STATUS_ALLOC_FAILED;
  if (4 * n * n > INT_MAX && mode != "query takes any size") return CUSOLVER_STATUS_INVALID_VALUE;
  *device = static_cast<std::size_t>(2 * n * n + 64 * n) * sizeof(double);
  *host = 1000;
  if (mode == "query overflows") *device = static_cast<std::size_t>(std::int64_t{-8} * n * n);
  return CUSOLVER_STATUS_SUCCESS;
}

/// Of Xsyevdx, beyond what it takes for all n: by eigenpairs that are not wanted.
std::size_t more_for_fewer(std::int64_t n, std::int64_t k) {
  return static_cast<std::size_t>(n * (n - k)) * sizeof(double);
}

}  // namespace

extern "C" {

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  *handle = reinterpret_cast<cusolverDnHandle_t>(1);
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t) { return CUSOLVER_STATUS_SUCCESS; }
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t, cudaStream_t) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverGetProperty(libraryPropertyType, int* value) {
  *value = 0;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* parameters) {
  *parameters = reinterpret_cast<cusolverDnParams_t>(1);
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t) { return CUSOLVER_STATUS_SUCCESS; }

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cublasFillMode_t, int64_t n, cudaDataType, const void*,
                                             int64_t, cudaDataType, size_t* device, size_t* host) {
  *device = static_cast<size_t>(64 * n) * sizeof(double);
  *host = 100;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t, cusolverDnParams_t, cublasFillMode_t fill,
                                  int64_t n, cudaDataType, void* matrix, int64_t lda, cudaDataType,
                                  void* device, size_t device_bytes, void* host, size_t host_bytes,
                                  int* info) {
  spoil(device, device_bytes);
  spoil(host, host_bytes);
  auto* const a = static_cast<double*>(matrix);
  const auto at = [&](int64_t i, int64_t j) -> double& {
    return fill == CUBLAS_FILL_MODE_LOWER ? a[i + j * lda] : a[j + i * lda];
  };
  *info = 0;
  for (int64_t first = 0; first < n; first += simt::kInvertedBlock) {
    const int64_t end = std::min<int64_t>(n, first + simt::kInvertedBlock);
    for (int64_t j = first; j < end; ++j) {  // what the columns before leave of these
      for (int64_t i = j; i < n; ++i) {
        for (int64_t l = 0; l < first; ++l) at(i, j) -= at(i, l) * at(j, l);
      }
    }
    for (int64_t j = first; j < end; ++j) {  // the block of the diagonal
      for (int64_t i = j; i < end; ++i) {
        double sum = at(i, j);
        for (int64_t l = first; l < j; ++l) sum -= at(i, l) * at(j, l);
        if (i == j && sum <= 0.0) {  // NaN passes: that cuSOLVER notes it is nowhere said
          *info = static_cast<int>(j + 1);
          return CUSOLVER_STATUS_SUCCESS;
        }
        at(i, j) = i == j ? std::sqrt(sum) : sum / at(j, j);
      }
    }
    const auto size = static_cast<int>(end - first);
    const simt::InvertedBlock inverse(size, [&](int i, int j) { return at(first + i, first + j); });
    for (int64_t i = end; i < n; ++i) {  // the rows below
      double row[simt::kInvertedBlock];
      for (int j = 0; j < size; ++j) {
        row[j] = 0.0;
        for (int l = 0; l <= j; ++l) row[j] += at(i, first + l) * inverse(j, l);
      }
      for (int j = 0; j < size; ++j) at(i, first + j) = row[j];
    }
  }
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cusolverEigMode_t, cublasFillMode_t, int64_t n,
                                             cudaDataType, const void*, int64_t, cudaDataType,
                                             const void*, cudaDataType, size_t* device,
                                             size_t* host) {
  return query("DEADRAY_SIMT_XSYEVD", n, device, host);
}
cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t,
                                  cublasFillMode_t fill, int64_t n, cudaDataType, void* a,
                                  int64_t lda, cudaDataType, void* w, cudaDataType, void* device,
                                  size_t device_bytes, void* host, size_t host_bytes, int* info) {
  spoil(device, device_bytes);
  spoil(host, host_bytes);
  return solve("DEADRAY_SIMT_XSYEVD", fill, static_cast<double*>(a), n, lda,
               static_cast<double*>(w), n, info);
}

cusolverStatus_t cusolverDnXsyevdx_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                              cusolverEigMode_t, cusolverEigRange_t,
                                              cublasFillMode_t, int64_t n, cudaDataType,
                                              const void*, int64_t, void*, void*, int64_t,
                                              int64_t last, int64_t*, cudaDataType, const void*,
                                              cudaDataType, size_t* device, size_t* host) {
  const cusolverStatus_t status = query("DEADRAY_SIMT_XSYEVDX", n, device, host);
  *device += more_for_fewer(n, last);
  return status;
}
cusolverStatus_t cusolverDnXsyevdx(cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t,
                                   cusolverEigRange_t range, cublasFillMode_t fill, int64_t n,
                                   cudaDataType, void* a, int64_t lda, void*, void*, int64_t first,
                                   int64_t last, int64_t* found, cudaDataType, void* w,
                                   cudaDataType, void* device, size_t device_bytes, void* host,
                                   size_t host_bytes, int* info) {
  std::size_t needed = 0, host_needed = 0;
  const cusolverStatus_t queried = query("DEADRAY_SIMT_XSYEVDX", n, &needed, &host_needed);
  if (queried != CUSOLVER_STATUS_SUCCESS) return queried;
  if (range != CUSOLVER_EIG_RANGE_I || first != 1 || last < 1 || last > n ||
      device_bytes < needed + more_for_fewer(n, last) || host_bytes < host_needed)
    return CUSOLVER_STATUS_INVALID_VALUE;
  spoil(device, device_bytes);
  spoil(host, host_bytes);
  *found = last;
  return solve("DEADRAY_SIMT_XSYEVDX", fill, static_cast<double*>(a), n, lda,
               static_cast<double*>(w), last, info);
}

cusolverStatus_t cusolverDnCreateSyevjInfo(syevjInfo_t* parameters) {
  *parameters = reinterpret_cast<syevjInfo_t>(1);
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroySyevjInfo(syevjInfo_t) { return CUSOLVER_STATUS_SUCCESS; }
cusolverStatus_t cusolverDnXsyevjSetMaxSweeps(syevjInfo_t, int) { return CUSOLVER_STATUS_SUCCESS; }
cusolverStatus_t cusolverDnDsyevj_bufferSize(cusolverDnHandle_t, cusolverEigMode_t,
                                             cublasFillMode_t, int n, const double*, int,
                                             const double*, int* count, syevjInfo_t) {
  const std::string mode = mode_of("DEADRAY_SIMT_DSYEVJ");
  if (mode == "query refuses") return CUSOLVER_STATUS_INVALID_VALUE;
  if (mode == "query wants memory") return CUSOLVER_STATUS_ALLOC_FAILED;
  *count = mode == "query overflows" ? -3 * n * n : 3 * n * n;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDsyevj(cusolverDnHandle_t, cusolverEigMode_t, cublasFillMode_t fill,
                                  int n, double* a, int lda, double* w, double* work, int count,
                                  int* info, syevjInfo_t) {
  spoil(work, static_cast<size_t>(count) * sizeof(double));
  const cusolverStatus_t status = solve("DEADRAY_SIMT_DSYEVJ", fill, a, n, lda, w, n, info);
  if (*info == 1) *info = n + 1;  // how it says that it has not converged
  return status;
}

}  // extern "C"
