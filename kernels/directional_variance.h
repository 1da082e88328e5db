#pragma once

#include <cstddef>

#include "kernels/norm_arithmetic.h"
#include "kernels/rows.h"
#include "kernels/running_moments.h"

namespace deadray::kernels {

/// Merges into moments[k] the values <v_k, h> of every row, h = norm_recompute of the row, rows projected first: resolves far below what
/// v^T C v of a formed covariance can. No [n_tokens, hidden_size] intermediate; FP64 throughout. One thread per call; callers split the
/// rows and merge. A LayerNorm's dead direction needs shift = beta, else the rounding of <v, beta> drowns its variance.
/// @param directions  [n_directions, hidden_size] FP64, contiguous
/// @param moments     [n_directions]; all zeros to begin with
void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions, std::int64_t n_directions,
                          RunningMoments* moments);

namespace cuda {

/// Bytes of device memory that one call of directional_variance needs while it runs; ask once, use again.
std::size_t directional_variance_workspace(std::int64_t n_directions);

/// The same on the device, reading the rows from memory once; all pointers are device memory. Asynchronous on `stream`; on one device the
/// result repeats bit for bit. @throws CudaError, also when a row does not fit into a block's shared memory (55 000 FP32 elements on sm_90)
void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions, std::int64_t n_directions,
                          RunningMoments* moments, void* workspace, Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
