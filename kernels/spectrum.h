#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda_context.h"

/// Dense symmetric problems in FP64 on the device, through cuSOLVER's 64-bit interface. All pointers are device memory; matrices are [n,
/// n], column-major, symmetric ones with both triangles set. Every call waits for its own end: `info` decides what comes next.
namespace deadray::kernels::cuda {

/// Which routine gave a result.
enum class EighDriver { syevd, syevdx, syevj };
const char* to_string(EighDriver driver) noexcept;

struct EighResult {
  EighDriver driver;
  double residual;       ///< |A V - V Lambda|_F / (n u |A|_F), u = 2^-53: checked after every call
  double orthogonality;  ///< |V^T V - 1|_F / (n u)
};

/// Bytes of device memory for eigh() and eigh_bottom() of this size; both keep a copy of the matrix there for the check and the second
/// driver.
std::size_t eigh_workspace(Context& context, std::int64_t n);

/// All eigenvalues, ascending, and eigenvectors: column k of `a` belongs to eigenvalues[k]. cusolverDnXsyevd; where that fails or its
/// result does not pass 30 in both measures, a second driver is tried. Exactly singular matrices are the rule here. @throws CudaError when
/// both fail
EighResult eigh(Context& context, double* a, std::int64_t n, double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                Stream stream);

/// The k smallest, by cusolverDnXsyevdx: columns 0 … k-1 of `a`.
EighResult eigh_bottom(Context& context, double* a, std::int64_t n, std::int64_t k, double* eigenvalues, void* workspace,
                       std::size_t workspace_bytes, Stream stream);

/// Bytes for cholesky() and triangular_inverse() of this size.
std::size_t cholesky_workspace(Context& context, std::int64_t n);

/// Lower factor in place of the lower triangle; the strict upper one is set to zero. False where the matrix is not numerically positive
/// definite.
bool cholesky(Context& context, double* a, std::int64_t n, void* workspace, std::size_t workspace_bytes, Stream stream);

/// L^-1 in place of a lower factor. Products with it replace triangular solves, which a device can hardly do in parallel: n^2 bytes' time
/// each.
void triangular_inverse(Context& context, double* lower, std::int64_t n, void* workspace, std::size_t workspace_bytes, Stream stream);

/// y = L^-T (L^-1 x), from triangular_inverse(). @param scratch [n]
void inverse_product(Context& context, const double* lower_inverse, std::int64_t n, const double* x, double* y, double* scratch,
                     Stream stream);

}  // namespace deadray::kernels::cuda
