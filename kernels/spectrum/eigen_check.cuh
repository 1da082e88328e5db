#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.cuh"

/// What eigh() asks about a matrix before and after a solver, column-major FP64. Each call waits
/// for its end and gives the same bits each time.
namespace deadray::kernels::cuda {

/// Sums over the elements of a device's matrices.
class MatrixSums {
 public:
  /// Two blocks for each of an H100's processors.
  static constexpr std::int64_t kMaxBlocks = 264;
  static constexpr std::int64_t kMaxWarpsOfABlock = 8;
  /// Of device memory to work in: a partial result for each warp.
  static constexpr std::size_t kBytes = kMaxBlocks * kMaxWarpsOfABlock * sizeof(double);

  MatrixSums(Context& context, const Operation& operation, void* memory, Stream stream)
      : context_(context),
        operation_(operation),
        partials_(static_cast<double*>(memory)),
        stream_(stream) {}

  /// max |a_ij|; infinite when an element is not finite. @param a  [n, n]
  double largest(const double* a, std::int64_t n);
  /// out = scale * a; its Frobenius norm. @param a, out  [n, n]
  double scaled_copy(const double* a, std::int64_t n, double scale, double* out);
  /// |A V - V Lambda|_F. @param a  [n, n]  @param v, product  [n, k]  @param lambda  [k]
  double residual(const double* a, const double* v, const double* lambda, std::int64_t n,
                  std::int64_t k, double* product);
  /// |V^T V - 1|_F. @param v  [n, k]  @param gram  [k, k]
  double orthogonality(const double* v, std::int64_t n, std::int64_t k, double* gram);

 private:
  template <class Fold, class... Parameters, class... Arguments>
  double fold(void (*kernel)(Parameters...), std::int64_t columns, std::int64_t rows,
              Arguments... arguments);

  Context& context_;
  const Operation& operation_;
  double* partials_;
  Stream stream_;
};

}  // namespace deadray::kernels::cuda
