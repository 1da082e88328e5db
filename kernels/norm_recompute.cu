#include <algorithm>

#include "kernels/cuda_operation.cuh"
#include "kernels/norm_recompute.h"
#include "kernels/row_statistics.cuh"

namespace deadray::kernels::cuda {
namespace {

constexpr std::int64_t kMaxBlocks = 1 << 16;

/// One block per row; the row is read three times, after the first from the caches.
template <typename T>
__global__ void norm_recompute_kernel(const T* x, Rows rows, NormArguments norm, double* out) {
  __shared__ double scratch[2 * kMaxWarps];
  for (std::int64_t t = blockIdx.x; t < rows.n_tokens; t += gridDim.x) {
    const T* row[1] = {x + t * rows.row_stride};
    RowStatistics statistics[1];
    block_row_statistics(row, rows.hidden_size, norm.type, norm.eps, scratch, statistics);
    for (std::int64_t i = threadIdx.x; i < rows.hidden_size; i += blockDim.x) {
      out[t * rows.hidden_size + i] = norm_gamma(norm, i) * normalised(widen(row[0][i]), statistics[0]) + norm_offset(norm, i);
    }
  }
}

}  // namespace

void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;  // an empty grid is a launch error
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, rows.n_tokens));
  const Operation operation("norm_recompute", {{"n_tokens", rows.n_tokens}, {"hidden_size", rows.hidden_size}});
  with_element_type(rows, [&](auto x) {
    const auto kernel = norm_recompute_kernel<std::remove_const_t<std::remove_pointer_t<decltype(x)>>>;
    operation.launch(kernel, {blocks, threads_for(rows.hidden_size), 0, stream}, x, rows, norm, out);
  });
}

}  // namespace deadray::kernels::cuda
