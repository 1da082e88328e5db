#include <algorithm>

#include "kernels/cuda_operation.cuh"
#include "kernels/directional_variance.h"
#include "kernels/row_statistics.cuh"

namespace deadray::kernels::cuda {
namespace {

constexpr int kRows = 2, kDirections = 4;  // whose dot products a block forms at once
constexpr std::int64_t kPartials = 1056;   // most blocks, each with moments of its own: 8 for each of an H100's processors

/// Each block takes rows kRows at a time into shared memory, normalises them there and adds <v_k, h> to its own moments: partials[block,
/// k].
template <typename T>
__global__ void directional_variance_kernel(const T* x, Rows rows, NormArguments norm, const double* directions, std::int64_t n_directions,
                                            RunningMoments* partials) {
  __shared__ double scratch[kMaxWarps * kRows * kDirections];
  T* const tile = dynamic_shared<T>();
  const std::int64_t n = rows.hidden_size;
  RunningMoments* const own = partials + blockIdx.x * n_directions;
  for (std::int64_t k = threadIdx.x; k < n_directions; k += blockDim.x) own[k] = RunningMoments{};
  for (std::int64_t t = std::int64_t{blockIdx.x} * kRows; t < rows.n_tokens; t += std::int64_t{gridDim.x} * kRows) {
    const T* row[kRows];
    __syncthreads();  // the tile before is done with; own[] is set
    for (int r = 0; r < kRows; ++r) {
      const T* from = x + (t + r < rows.n_tokens ? t + r : t) * rows.row_stride;  // a row past the end: any other, its values go nowhere
      for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) tile[r * n + i] = from[i];
      row[r] = tile + r * n;
    }
    __syncthreads();
    RowStatistics statistics[kRows];
    block_row_statistics(row, n, norm.type, norm.eps, scratch, statistics);
    for (std::int64_t first = 0; first < n_directions; first += kDirections) {
      double sums[kDirections * kRows] = {};
      for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const double gamma = norm_gamma(norm, i), offset = norm_offset(norm, i);
        double h[kRows];
        for (int r = 0; r < kRows; ++r) h[r] = gamma * normalised(widen(row[r][i]), statistics[r]) + offset;
        for (int k = 0; k < kDirections; ++k) {
          if (first + k >= n_directions) break;
          const double v = directions[(first + k) * n + i];
          for (int r = 0; r < kRows; ++r) sums[k * kRows + r] += v * h[r];
        }
      }
      block_sum(sums, scratch);
      for (int k = 0; k < kDirections; ++k) {  // unrolled, so that sums stay in registers
        if (threadIdx.x != k || first + k >= n_directions) continue;
        for (int r = 0; r < kRows; ++r) {
          if (t + r < rows.n_tokens) own[first + k].add(sums[k * kRows + r]);
        }
      }
    }
  }
}

/// moments[k] takes in the blocks' moments in order.
__global__ void merge_partials_kernel(const RunningMoments* partials, std::int64_t n_partials, std::int64_t n_directions,
                                      RunningMoments* moments) {
  const std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (k >= n_directions) return;
  RunningMoments total = moments[k];
  for (std::int64_t b = 0; b < n_partials; ++b) total.merge(partials[b * n_directions + k]);
  moments[k] = total;
}

}  // namespace

std::size_t directional_variance_workspace(std::int64_t n_directions) {
  return static_cast<std::size_t>(kPartials * n_directions) * sizeof(RunningMoments);
}

void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions, std::int64_t n_directions,
                          RunningMoments* moments, void* workspace, Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0 || n_directions == 0) return;  // an empty grid is a launch error
  const Operation operation("directional_variance",
                            {{"n_tokens", rows.n_tokens}, {"hidden_size", rows.hidden_size}, {"n_directions", n_directions}});
  auto* partials = static_cast<RunningMoments*>(workspace);
  const std::int64_t blocks = std::min(kPartials, (rows.n_tokens + kRows - 1) / kRows);
  with_element_type(rows, [&](auto x) {
    const std::size_t tile_bytes = static_cast<std::size_t>(kRows * rows.hidden_size) * sizeof *x;
    const auto kernel = directional_variance_kernel<std::remove_const_t<std::remove_pointer_t<decltype(x)>>>;
    operation.launch(kernel, {static_cast<unsigned>(blocks), threads_for(rows.hidden_size), tile_bytes, stream}, x, rows, norm, directions,
                     n_directions, partials);
  });
  operation.launch(merge_partials_kernel, {static_cast<unsigned>((n_directions + 127) / 128), 128, 0, stream}, partials, blocks,
                   n_directions, moments);
}

}  // namespace deadray::kernels::cuda
