#include "kernels/spectrum/eigen_check.cuh"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/block_sums.cuh"

namespace deadray::kernels::cuda {
namespace {

static_assert(MatrixSums::kMaxWarpsOfABlock == kMaxWarps);

struct Sum {
  DEADRAY_HOST_DEVICE static double of(double a, double b) { return a + b; }
};
struct Largest {
  DEADRAY_HOST_DEVICE static double of(double a, double b) { return a > b ? a : b; }
};

/// partials[a warp of the grid] = what its lanes hold, folded.
template <class Fold>
__device__ void store_partial(double value, double* partials) {
  for (int step = kWarpSize / 2; step > 0; step /= 2)
    value = Fold::of(value, __shfl_xor_sync(kAllLanes, value, step));
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread % kWarpSize == 0) partials[thread / kWarpSize] = value;
}

__global__ void largest_kernel(double* partials, const double* a, std::int64_t n) {
  double largest = 0.0;
  for (std::int64_t j = blockIdx.x; j < n; j += gridDim.x) {
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const double value = a[j * n + i];
      largest = Largest::of(largest, isfinite(value) ? fabs(value) : HUGE_VAL);
    }
  }
  store_partial<Largest>(largest, partials);
}

__global__ void scaled_copy_kernel(double* partials, const double* a, std::int64_t n, double scale,
                                   double* out) {
  double sum = 0.0;
  for (std::int64_t j = blockIdx.x; j < n; j += gridDim.x) {
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const double value = scale * a[j * n + i];
      out[j * n + i] = value;
      sum += value * value;
    }
  }
  store_partial<Sum>(sum, partials);
}

__global__ void residual_kernel(double* partials, const double* product, const double* v,
                                const double* lambda, std::int64_t n, std::int64_t k) {
  double sum = 0.0;
  for (std::int64_t j = blockIdx.x; j < k; j += gridDim.x) {
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const double r = product[j * n + i] - lambda[j] * v[j * n + i];
      sum += r * r;
    }
  }
  store_partial<Sum>(sum, partials);
}

/// @param gram  its lower triangle
__global__ void orthogonality_kernel(double* partials, const double* gram, std::int64_t k) {
  double sum = 0.0;
  for (std::int64_t j = blockIdx.x; j < k; j += gridDim.x) {
    for (std::int64_t i = j + threadIdx.x; i < k; i += blockDim.x) {
      const double r = gram[j * k + i] - (i == j ? 1.0 : 0.0);
      sum += (i == j ? 1.0 : 2.0) * r * r;
    }
  }
  store_partial<Sum>(sum, partials);
}

}  // namespace

/// A block takes whole columns, one after another; the partial results are folded here.
template <class Fold, class... Parameters, class... Arguments>
double MatrixSums::fold(void (*kernel)(Parameters...), std::int64_t columns, std::int64_t rows,
                        Arguments... arguments) {
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, columns));
  const unsigned threads = threads_for(rows);
  operation_.launch(kernel, {blocks, threads, 0, stream_}, partials_, arguments...);
  std::vector<double> values(blocks * (threads / kWarpSize));
  operation_.download(values.data(), partials_, values.size() * sizeof(double), stream_);
  double result = 0.0;
  for (const double value : values) result = Fold::of(result, value);
  return result;
}

double MatrixSums::largest(const double* a, std::int64_t n) {
  return fold<Largest>(largest_kernel, n, n, a, n);
}

double MatrixSums::scaled_copy(const double* a, std::int64_t n, double scale, double* out) {
  return std::sqrt(fold<Sum>(scaled_copy_kernel, n, n, a, n, scale, out));
}

double MatrixSums::residual(const double* a, const double* v, const double* lambda, std::int64_t n,
                            std::int64_t k, double* product) {
  const double one = 1.0, zero = 0.0;
  const auto rows = static_cast<int>(n), columns = static_cast<int>(k);
  operation_.check(cublasDgemm(context_.blas, CUBLAS_OP_N, CUBLAS_OP_N, rows, columns, rows, &one,
                               a, rows, v, rows, &zero, product, rows),
                   "cublasDgemm");
  return std::sqrt(
      fold<Sum>(residual_kernel, k, n, static_cast<const double*>(product), v, lambda, n, k));
}

double MatrixSums::orthogonality(const double* v, std::int64_t n, std::int64_t k, double* gram) {
  const double one = 1.0, zero = 0.0;
  const auto rows = static_cast<int>(n), columns = static_cast<int>(k);
  operation_.check(cublasDsyrk(context_.blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, columns, rows,
                               &one, v, rows, &zero, gram, columns),
                   "cublasDsyrk");
  return std::sqrt(fold<Sum>(orthogonality_kernel, k, k, static_cast<const double*>(gram), k));
}

}  // namespace deadray::kernels::cuda
