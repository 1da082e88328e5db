#pragma once

#include <cstddef>

#include "kernels/arithmetic/norm_arithmetic.h"
#include "kernels/arithmetic/rows.h"

namespace deadray::kernels {

/// A norm's output recomputed in FP64 from the rows it read, whatever their type. For LayerNorm
/// sum_i (out_i + shift_i - beta_i) / gamma_i is 0 to rounding for any finite input and any eps;
/// not so for RMSNorm. Rows that hold NaN or infinity give NaN. One thread per call; callers split
/// the rows. The order of summation is fixed: every build and machine gives the same bits.
/// @param out  [n_tokens, hidden_size], contiguous; FP32 is the FP64 value rounded once
void norm_recompute(const Rows& rows, const NormArguments& norm, double* out);
void norm_recompute(const Rows& rows, const NormArguments& norm, float* out);

namespace cuda {

/// The same on the device, up to the order of summation; all pointers are device memory.
/// Asynchronous on `stream`. @throws CudaError
void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, Stream stream);
void norm_recompute(const Rows& rows, const NormArguments& norm, float* out, Stream stream);

/// Adds besides to sums [hidden_size] the sum of the rows it wrote; on one device both repeat bit
/// for bit.
/// @param workspace  device memory of norm_recompute_workspace() bytes, see
/// kernels/cuda/workspace.h
void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, double* sums,
                    void* workspace, Stream stream);
std::size_t norm_recompute_workspace(std::int64_t hidden_size);

}  // namespace cuda
}  // namespace deadray::kernels
