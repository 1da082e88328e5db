#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/norm_arithmetic.h"
#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/cuda_context.h"

namespace deadray::kernels {

/// One entry of the covariance from the sums of h_i, h_j and h_i h_j over n_tokens rows.
DEADRAY_HOST_DEVICE double covariance_entry(double product_sum, double sum_i, double sum_j,
                                            double n_tokens) {
  return product_sum / n_tokens - sum_i / n_tokens * (sum_j / n_tokens);
}

/// Adds to sums [hidden_size] the sum of h_t, and to the lower triangle (column-major) of gram
/// [hidden_size, hidden_size] the sum of h_t h_t^T, all FP64. h is norm_recompute of the rows;
/// NormType::identity gives the moments of the rows themselves. Takes any number of rows, in any
/// number of calls; two sets of sums about the same shift merge by adding them. A shift near the
/// mean (for a LayerNorm beta is exact) keeps the later centring free of cancellation; without a
/// shift the second moments are uncentred.
/// @param sums, gram  all zeros to begin with
void add_moments(const Rows& rows, const NormArguments& norm, double* sums, double* gram);

/// From the sums over n_tokens rows: mean [hidden_size] of h, and gram becomes the covariance about
/// it (divisor n_tokens), both triangles, exactly symmetric. No rows at all give zeros.
/// @param centred  false: the second moment of h instead
/// @param mean     not the memory of sums
void finish_moments(std::int64_t n_tokens, std::int64_t hidden_size, bool centred,
                    const double* sums, double* mean, double* gram);

namespace cuda {

/// Bytes of device memory for add_moments calls of at most n_tokens rows: up to some 300 MB for
/// hidden_size 16384, 400 MB for 65536. The rows are worked through in tiles that fit, so less does
/// too, down to norm_recompute_workspace() and one row. See kernels/cuda/workspace.h.
std::size_t add_moments_workspace(std::int64_t n_tokens, std::int64_t hidden_size);

/// The same on the device, the Gram by cublasDsyrk. All pointers are device memory. Asynchronous on
/// `stream`; on one device the result repeats bit for bit. @throws CudaError
void add_moments(Context& context, const Rows& rows, const NormArguments& norm, double* sums,
                 double* gram, void* workspace, std::size_t workspace_bytes, Stream stream);
void finish_moments(std::int64_t n_tokens, std::int64_t hidden_size, bool centred,
                    const double* sums, double* mean, double* gram, Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
