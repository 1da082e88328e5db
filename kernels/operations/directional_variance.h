#pragma once

#include <cstddef>

#include "kernels/arithmetic/norm_arithmetic.h"
#include "kernels/arithmetic/rows.h"
#include "kernels/arithmetic/running_moments.h"

namespace deadray::kernels {

/// Merges into moments[k] the values <v_k, h> of every row, where h is norm_recompute of the row.
/// Rows are projected first: this resolves far smaller variances than v^T C v of a formed
/// covariance. FP64 throughout; no [n_tokens, hidden_size] intermediate. One thread per call;
/// callers split the rows and merge. A LayerNorm's dead direction needs shift = beta: otherwise the
/// rounding of <v, beta> drowns its variance.
/// @param directions  [n_directions, hidden_size] FP64, contiguous
/// @param moments     [n_directions]; all zeros to begin with
void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions,
                          std::int64_t n_directions, RunningMoments* moments);

namespace cuda {

/// Bytes of device memory that one call of directional_variance needs while it runs; see
/// kernels/cuda/workspace.h.
std::size_t directional_variance_workspace(std::int64_t n_directions, std::int64_t hidden_size);

/// The same on the device, up to the order of summation; the offset's part of a projection is added
/// to the mean alone. All pointers are device memory. Rows that are multiples of 16 bytes, aligned
/// to 16 bytes, are read from memory once for each 4 directions up to hidden_size 4096, and once
/// for each 2 up to 8192 (FP32, bfloat16). Others are read element by element, up to three times
/// for each 4. Asynchronous on `stream`; on one device the result repeats bit for bit.
/// @throws CudaError
void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions,
                          std::int64_t n_directions, RunningMoments* moments, void* workspace,
                          Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
