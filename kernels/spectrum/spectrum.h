#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.h"

/// Eigenpairs of dense symmetric FP64 matrices on the device, by cuSOLVER's 64-bit interface. All
/// pointers are device memory; a matrix is [n, n], column-major, with both triangles set. Both
/// solvers wait for their own end: `info` and the check decide what comes next. How the workspace
/// comes about: kernels/cuda/workspace.h.
namespace deadray::kernels::cuda {

/// Which routine gave a result.
enum class EighDriver { syevd, syevdx, syevj };
constexpr const char* to_string(EighDriver driver) noexcept {
  return driver == EighDriver::syevd    ? "Xsyevd"
         : driver == EighDriver::syevdx ? "Xsyevdx"
                                        : "Dsyevj";
}

/// Measured on the device after every call. Each measure may be up to 30, the threshold of LAPACK's
/// own tests.
struct EighResult {
  EighDriver driver;
  double residual;       ///< |A V - V Lambda|_F / (n u |A|_F), u = 2^-53; 0 for the zero matrix
  double orthogonality;  ///< |V^T V - 1|_F / (n u)
};

/// Bytes of device memory for eigh() of this size, and for eigh_bottom() of this size and k: a few
/// n^2 doubles. Both keep a copy of the matrix for the check and for the next driver.
/// @throws CudaError of kind too_large where n is more than cuSOLVER serves, which CUDA 12 is
/// reported to do from n near 23000 on
std::size_t eigh_workspace(Context& context, std::int64_t n);
std::size_t eigh_bottom_workspace(Context& context, std::int64_t n, std::int64_t k);

/// All eigenvalues, ascending, and eigenvectors: column k of `a` belongs to eigenvalues[k]. By
/// cusolverDnXsyevd; where that fails or its result does not pass, by cusolverDnDsyevj, a Jacobi
/// method that shares no step with it. The matrix is scaled by a power of two before, so that its
/// size does not matter. Exactly singular matrices are the rule here.
/// @throws CudaError when both fail, `a` is lost then; when an element is not finite, naming it,
/// before any solver sees it
EighResult eigh(Context& context, double* a, std::int64_t n, double* eigenvalues, void* workspace,
                std::size_t workspace_bytes, Stream stream);

/// The k smallest eigenvalues, 1 <= k <= n, and their vectors in columns 0 … k-1 of `a`; the other
/// columns are lost. By cusolverDnXsyevdx, then as eigh(). The measures say that the results are
/// eigenpairs; they do not say that no smaller one is missing.
EighResult eigh_bottom(Context& context, double* a, std::int64_t n, std::int64_t k,
                       double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                       Stream stream);

}  // namespace deadray::kernels::cuda
