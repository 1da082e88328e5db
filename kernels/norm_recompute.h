#pragma once

#include "kernels/norm_arithmetic.h"
#include "kernels/rows.h"

namespace deadray::kernels {

/// A norm's output recomputed in FP64 from the rows it read, whatever their type. For LayerNorm sum_i (out_i + shift_i - beta_i) / gamma_i
/// is 0 to rounding for any finite input and any eps; not so for RMSNorm. Rows that hold NaN or infinity give NaN.
/// One thread per call; callers split the rows. The order of summation is fixed: every build and machine gives the same bits.
/// @param out  [n_tokens, hidden_size] FP64, contiguous
void norm_recompute(const Rows& rows, const NormArguments& norm, double* out);

namespace cuda {

/// The same on the device, up to the order of summation; all pointers are device memory. Asynchronous on `stream`. @throws CudaError
void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
