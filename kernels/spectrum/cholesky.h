#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.h"

/// A Cholesky factorisation and solves with it, FP64, on the device: what the certificate of a
/// smallest eigenvalue needs. All pointers are device memory, matrices [n, n] column-major. All
/// throw CudaError. How the workspace comes about: kernels/cuda/workspace.h.
namespace deadray::kernels::cuda {

/// Bytes for cholesky() and triangular_inverse() of this size, near n^2/8 doubles.
std::size_t cholesky_workspace(Context& context, std::int64_t n);

/// The lower factor in place of the lower triangle, the only one that is read; the strict upper one
/// is set to zero. Waits for its end. False where the matrix is not numerically positive definite
/// or not finite; `a` is lost then.
bool cholesky(Context& context, double* a, std::int64_t n, void* workspace,
              std::size_t workspace_bytes, Stream stream);

/// X = L^-1 in place of a lower factor whose strict upper triangle is zero, and stays so.
/// Asynchronous on `stream`. Products with X replace triangular solves, which a device can hardly
/// do in parallel. Each column is a triangular solve by cuBLAS, which may invert blocks of the
/// diagonal: |L X - 1| <= c n u |L| |X|, by the norm.
void triangular_inverse(Context& context, double* lower, std::int64_t n, void* workspace,
                        std::size_t workspace_bytes, Stream stream);

/// y = L^-T (L^-1 x), from triangular_inverse(), in the time of reading it twice. Asynchronous on
/// `stream`. The relative error is at most about n u cond(L)^2, as of two triangular solves; it
/// repeats bit for bit.
/// @param scratch  [n]
void inverse_product(Context& context, const double* lower_inverse, std::int64_t n, const double* x,
                     double* y, double* scratch, Stream stream);

}  // namespace deadray::kernels::cuda
