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

/// On a device the operation is two: what depends on norm and directions alone is prepared once for
/// many calls. All pointers are device memory.
std::size_t directional_weights_bytes(std::int64_t n_directions, std::int64_t hidden_size);

/// Asynchronous on `stream`.
/// @param type        of the rows to come
/// @param directions  [n_directions, hidden_size] FP64, contiguous
/// @param weights     directional_weights_bytes(), aligned to 16
/// @throws CudaError
void prepare_directional_weights(const NormArguments& norm, ElementType type,
                                 std::int64_t hidden_size, const double* directions,
                                 std::int64_t n_directions, void* weights, Stream stream);

/// Bytes of device memory that one call of directional_variance needs while it runs; see
/// kernels/cuda/workspace.h.
std::size_t directional_variance_workspace(std::int64_t n_directions);

/// How many times the rows are read from memory. Rows that are multiples of 16 bytes, aligned to 16
/// bytes, are read once for each 8 directions up to hidden_size 2048, for each 4 up to 4096, and
/// for each 2 up to 8192 (FP32, bfloat16). Others are read element by element, up to three times a
/// pass, which is for 4 directions.
std::int64_t directional_variance_passes(const Rows& rows, std::int64_t n_directions);

/// The same as on the CPU, up to the order of summation; the offset's part of a projection is added
/// to the mean alone. Asynchronous on `stream`; on one device the result repeats bit for bit.
/// @param type, eps  of the norm that the weights were prepared for
/// @throws CudaError
void directional_variance(const Rows& rows, NormType type, double eps, const void* weights,
                          std::int64_t n_directions, RunningMoments* moments, void* workspace,
                          Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
