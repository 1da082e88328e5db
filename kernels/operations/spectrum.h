#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.h"

/// Dense symmetric problems in FP64 on the device, through cuSOLVER's 64-bit interface. All
/// pointers are device memory; matrices are [n, n], column-major, symmetric ones with both
/// triangles set. eigh(), eigh_bottom() and cholesky() wait for their own end: `info` and the check
/// decide what comes next; the other two are asynchronous on `stream`. A workspace that is asked
/// for once serves any number of calls of its size, one at a time.
namespace deadray::kernels::cuda {

/// Which routine gave a result.
enum class EighDriver { syevd, syevdx, syevj };
constexpr const char* to_string(EighDriver driver) noexcept {
  return driver == EighDriver::syevd    ? "Xsyevd"
         : driver == EighDriver::syevdx ? "Xsyevdx"
                                        : "Dsyevj";
}

/// Measured on the device after every call. Accepted up to 30 each, the threshold of LAPACK's own
/// tests.
struct EighResult {
  EighDriver driver;
  double residual;       ///< |A V - V Lambda|_F / (n u |A|_F), u = 2^-53; 0 for the zero matrix
  double orthogonality;  ///< |V^T V - 1|_F / (n u)
};

/// Bytes of device memory for eigh() and eigh_bottom() of this size, a few n^2 doubles; both keep a
/// copy of the matrix there for the check and the next driver. @throws CudaError of kind too_large
/// where n is more than cuSOLVER serves: n near 23000 is reported of CUDA 12
std::size_t eigh_workspace(Context& context, std::int64_t n);

/// All eigenvalues, ascending, and eigenvectors: column k of `a` belongs to eigenvalues[k].
/// cusolverDnXsyevd; where that fails or its result does not pass, cusolverDnDsyevj, a Jacobi
/// method that shares no step with it. The matrix is scaled by a power of two before, so that its
/// size does not matter. Exactly singular matrices are the rule here.
/// @throws CudaError when both fail, `a` is lost then; when an element is not finite, naming it,
/// before any solver sees it
EighResult eigh(Context& context, double* a, std::int64_t n, double* eigenvalues, void* workspace,
                std::size_t workspace_bytes, Stream stream);

/// The k smallest, 1 <= k <= n: eigenvalues [k], columns 0 … k-1 of `a`, the others are lost.
/// cusolverDnXsyevdx, then as eigh(). The measures say that they are eigenpairs; that none smaller
/// is missing they do not say.
EighResult eigh_bottom(Context& context, double* a, std::int64_t n, std::int64_t k,
                       double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                       Stream stream);

/// Bytes for cholesky() and triangular_inverse() of this size, near n^2/8 doubles.
std::size_t cholesky_workspace(Context& context, std::int64_t n);

/// Lower factor in place of the lower triangle, the one that is read; the strict upper one is set
/// to zero. False where the matrix is not numerically positive definite or not finite; `a` is lost
/// then.
bool cholesky(Context& context, double* a, std::int64_t n, void* workspace,
              std::size_t workspace_bytes, Stream stream);

/// X = L^-1 in place of a lower factor whose strict upper triangle is zero, and stays so. Products
/// with X replace triangular solves, which a device can hardly do in parallel. Each column is a
/// triangular solve: |L X - 1| <= c n u |L| |X|, element by element.
void triangular_inverse(Context& context, double* lower, std::int64_t n, void* workspace,
                        std::size_t workspace_bytes, Stream stream);

/// y = L^-T (L^-1 x), from triangular_inverse(), in the time of reading it twice. The relative
/// error is at most about n u cond(L)^2, as of two triangular solves; repeats bit for bit. @param
/// scratch  [n]
void inverse_product(Context& context, const double* lower_inverse, std::int64_t n, const double* x,
                     double* y, double* scratch, Stream stream);

}  // namespace deadray::kernels::cuda
