#pragma once

#include "kernels/arithmetic/norm_arithmetic.h"
#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/block_sums.cuh"

/// The statistics of rows, for kernels whose blocks have whole warps, at most kMaxWarps of them.
namespace deadray::kernels::cuda {

/// Two-pass FP64 statistics of n_rows rows at once, each held by the whole block.
/// @param x        rows[r] is row r, in shared or global memory
/// @param scratch  shared memory, [kMaxWarps * 2 * n_rows]
template <int n_rows, typename T>
__device__ void block_row_statistics(const T* (&x)[n_rows], std::int64_t hidden_size, NormType type,
                                     double eps, double* scratch,
                                     RowStatistics (&statistics)[n_rows]) {
  if (type == NormType::identity) {
    for (int r = 0; r < n_rows; ++r) statistics[r] = identity_statistics();
    return;
  }
  double sums[n_rows] = {};
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    for (int r = 0; r < n_rows; ++r) {
      const double value = widen(x[r][i]);
      sums[r] += type == NormType::rmsnorm ? value * value : value;
    }
  }
  block_sum(sums, scratch);
  if (type == NormType::rmsnorm) {
    for (int r = 0; r < n_rows; ++r) statistics[r] = rmsnorm_statistics(sums[r], hidden_size, eps);
    return;
  }
  double means[n_rows], centred[2 * n_rows] = {};
  for (int r = 0; r < n_rows; ++r) means[r] = sums[r] / static_cast<double>(hidden_size);
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    for (int r = 0; r < n_rows; ++r) {
      const double d = widen(x[r][i]) - means[r];
      centred[2 * r] += d;
      centred[2 * r + 1] += d * d;
    }
  }
  block_sum(centred, scratch);
  for (int r = 0; r < n_rows; ++r)
    statistics[r] =
        layernorm_statistics(means[r], centred[2 * r], centred[2 * r + 1], hidden_size, eps);
}

}  // namespace deadray::kernels::cuda
