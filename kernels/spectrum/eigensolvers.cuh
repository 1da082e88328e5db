#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.cuh"

/// cuSOLVER's three eigensolvers for dense symmetric FP64 matrices, column-major, of which they
/// read the lower triangle. Each waits for its end and throws a CudaError unless cuSOLVER says that
/// it succeeded. Whether the result is right is for eigen_check.cuh to say.
namespace deadray::kernels::cuda {

/// Where a solver works; device memory throughout.
struct SolverMemory {
  double* a;            ///< [n, n]: the matrix, then eigenvectors as columns
  double* eigenvalues;  ///< [n], ascending
  void* scratch;        ///< of solver_scratch_bytes() for this call
  int* info;
};

/// Device memory that suffices for each solver that serves this size: run_syevd(), run_syevj(),
/// and, where bottom > 0, run_syevdx() with k = bottom. What a call asks for is what it is given:
/// nothing says that fewer eigenpairs take less. The Jacobi method serves smaller matrices than the
/// others: beyond, it adds nothing here and refuses when it is called.
/// @throws CudaError of kind too_large where another refuses the size or its answer overflowed;
/// whatever else goes wrong in any of the queries
std::size_t solver_scratch_bytes(Context& context, const Operation& operation, std::int64_t n,
                                 std::int64_t bottom);

/// All eigenpairs, by divide and conquer.
void run_syevd(Context& context, const Operation& operation, std::int64_t n,
               const SolverMemory& memory, Stream stream);

/// The k smallest eigenpairs; the other columns of `a` are lost.
void run_syevdx(Context& context, const Operation& operation, std::int64_t n, std::int64_t k,
                const SolverMemory& memory, Stream stream);

/// All eigenpairs, by a Jacobi method, which shares no step with the others. That it stopped short
/// of its own tolerance, the last bit, is no error.
/// @throws CudaError of kind too_large where its workspace would not be counted in an int
void run_syevj(Context& context, const Operation& operation, std::int64_t n,
               const SolverMemory& memory, Stream stream);

}  // namespace deadray::kernels::cuda
