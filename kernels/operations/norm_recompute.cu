#include "kernels/operations/norm_recompute.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_operation.cuh"
#include "kernels/cuda/held_rows.cuh"
#include "kernels/cuda/row_statistics.cuh"

namespace deadray::kernels::cuda {
namespace {

/// One row, loaded two elements at a time: then a warp's FP64 output, most of what goes through
/// memory, lies side by side.
template <typename T>
using HeldRow = HeldRows<T, 2, 1, 16>;
constexpr std::int64_t kMaxBlocks = 1 << 16;
/// Of the blocks' column sums: small beside what a tile reads and writes.
constexpr std::int64_t kSumBytes = 16 << 20;

std::int64_t most_sum_blocks(std::int64_t hidden_size) {
  return std::max<std::int64_t>(kSumBytes / 8 / hidden_size, 256);
}

__device__ double2 pair_at(const double* x, unsigned pair, double otherwise) {
  return x ? reinterpret_cast<const double2*>(x)[pair] : double2{otherwise, otherwise};
}
__device__ void store_pair(double* out, unsigned pair, double2 value) {
  reinterpret_cast<double2*>(out)[pair] = value;
}
__device__ void store_pair(float* out, unsigned pair, double2 value) {
  reinterpret_cast<float2*>(out)[pair] = {static_cast<float>(value.x), static_cast<float>(value.y)};
}

template <typename T>
__device__ RowStatistics held_statistics(const HeldRow<T>& row, std::int64_t hidden_size,
                                         NormType type, double eps,
                                         BlockSums<double, 2>& block_sums) {
  if (type == NormType::identity) return identity_statistics();
  double sums[1] = {};
  row.for_each_pair(hidden_size, [&](int, unsigned, int, const T(&x)[1][2]) {
    const double a = widen(x[0][0]), b = widen(x[0][1]);
    sums[0] += type == NormType::rmsnorm ? a * a + b * b : a + b;
  });
  block_sums.share(sums);
  if (type == NormType::rmsnorm) return rmsnorm_statistics(block_sums.total(0), hidden_size, eps);
  const double mean = block_sums.total(0) / static_cast<double>(hidden_size);
  double centred[2] = {};
  row.for_each_pair(hidden_size, [&](int, unsigned, int, const T(&x)[1][2]) {
    const double a = widen(x[0][0]) - mean, b = widen(x[0][1]) - mean;
    centred[0] += a + b;
    centred[1] += a * a + b * b;
  });
  block_sums.share(centred);
  return layernorm_statistics(mean, block_sums.total(0), block_sums.total(1), hidden_size, eps);
}

/// A block takes one row at a time. column_sums [blocks, hidden_size], or null, gets what the block
/// wrote, added row after row.
template <typename T, typename Out>
__global__ void __launch_bounds__(kMaxHeldThreads, 1)
    norm_recompute_kernel(const T* x, Rows rows, NormArguments norm, Out* out,
                          double* column_sums) {
  __shared__ double scratch[BlockSums<double, 2>::kScratch];
  BlockSums<double, 2> block_sums(scratch);
  HeldRow<T> row;
  double sums[HeldRow<T>::kColumns] = {};
  for (std::int64_t t = blockIdx.x; t < rows.n_tokens; t += gridDim.x) {
    row.load(x, rows, t);
    const RowStatistics statistics =
        held_statistics(row, rows.hidden_size, norm.type, norm.eps, block_sums);
    row.for_each_pair(rows.hidden_size, [&](int slot, unsigned pair, int, const T(&x)[1][2]) {
      const double2 gamma = pair_at(norm.gamma, pair, 1.0), beta = pair_at(norm.beta, pair, 0.0),
                    shift = pair_at(norm.shift, pair, 0.0);
      const double2 h = {gamma.x * normalised(widen(x[0][0]), statistics) + (beta.x - shift.x),
                         gamma.y * normalised(widen(x[0][1]), statistics) + (beta.y - shift.y)};
      store_pair(out + t * rows.hidden_size, pair, h);
      sums[slot] += h.x;
      sums[slot + 1] += h.y;
    });
  }
  if (!column_sums) return;
  row.for_each_pair(rows.hidden_size, [&](int slot, unsigned pair, int, const T(&)[1][2]) {
    store_pair(column_sums + blockIdx.x * rows.hidden_size, pair, {sums[slot], sums[slot + 1]});
  });
}

/// The same for rows of any width and alignment, read three times, after the first from the caches.
template <typename T, typename Out>
__global__ void any_norm_recompute_kernel(const T* x, Rows rows, NormArguments norm, Out* out,
                                          double* column_sums) {
  __shared__ double scratch[2 * kMaxWarps];
  double* const own = column_sums ? column_sums + blockIdx.x * rows.hidden_size : nullptr;
  for (std::int64_t t = blockIdx.x; t < rows.n_tokens; t += gridDim.x) {
    const T* row[1] = {x + t * rows.row_stride};
    RowStatistics statistics[1];
    block_row_statistics(row, rows.hidden_size, norm.type, norm.eps, scratch, statistics);
    for (std::int64_t i = threadIdx.x; i < rows.hidden_size; i += blockDim.x) {
      const double h =
          norm_gamma(norm, i) * normalised(widen(row[0][i]), statistics[0]) + norm_offset(norm, i);
      out[t * rows.hidden_size + i] = static_cast<Out>(h);
      if (own) own[i] = (t == blockIdx.x ? 0.0 : own[i]) + h;
    }
  }
}

/// sums[i] += sum_b parts[b, i]: a warp's width of columns a block, whose warps share the parts.
constexpr int kSumWarps = 16;
__global__ void add_column_sums_kernel(const double* parts, std::int64_t n_parts,
                                       std::int64_t hidden_size, double* sums) {
  __shared__ double shared[kSumWarps][kWarpSize];
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarpSize + threadIdx.x;
  double sum = 0.0;
  if (i < hidden_size) {
    for (std::int64_t b = threadIdx.y; b < n_parts; b += kSumWarps)
      sum += parts[b * hidden_size + i];
  }
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || i >= hidden_size) return;
  for (int warp = 1; warp < kSumWarps; ++warp) sum += shared[warp][threadIdx.x];
  sums[i] += sum;
}

/// Returns the number of blocks.
template <typename Out>
std::int64_t launch_recompute(const Operation& operation, const Rows& rows,
                              const NormArguments& norm, Out* out, double* column_sums,
                              Stream stream) {
  std::int64_t blocks = 0;
  with_element_type(rows, [&](const auto* x) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
    bool held = HeldRow<T>::can_hold(rows) && is_aligned(out, 2 * sizeof(Out)) &&
                is_aligned(column_sums, sizeof(double2));
    for (const double* parameter : {norm.gamma, norm.beta, norm.shift})
      held = held && is_aligned(parameter, sizeof(double2));
    const auto kernel = held ? norm_recompute_kernel<T, Out> : any_norm_recompute_kernel<T, Out>;
    const unsigned threads =
        held ? HeldRow<T>::threads_for(rows.hidden_size) : threads_for(rows.hidden_size);
    blocks = std::min(rows.n_tokens, column_sums ? most_sum_blocks(rows.hidden_size) : kMaxBlocks);
    blocks = std::min(blocks, operation.resident_blocks(kernel, threads));
    operation.launch(kernel, {static_cast<unsigned>(blocks), threads, 0, stream}, x, rows, norm,
                     out, column_sums);
  });
  return blocks;
}

template <typename Out>
void recompute(const Rows& rows, const NormArguments& norm, Out* out, Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;  // an empty grid is a launch error
  const Operation operation("norm_recompute",
                            {{"n_tokens", rows.n_tokens}, {"hidden_size", rows.hidden_size}});
  launch_recompute(operation, rows, norm, out, nullptr, stream);
}

}  // namespace

void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, Stream stream) {
  recompute(rows, norm, out, stream);
}
void norm_recompute(const Rows& rows, const NormArguments& norm, float* out, Stream stream) {
  recompute(rows, norm, out, stream);
}

std::size_t norm_recompute_workspace(std::int64_t hidden_size) {
  if (hidden_size == 0) return 0;
  return (static_cast<std::size_t>(most_sum_blocks(hidden_size) * hidden_size) * sizeof(double) +
          255) /
         256 * 256;  // as cudaMalloc aligns
}

void norm_recompute(const Rows& rows, const NormArguments& norm, double* out, double* sums,
                    void* workspace, Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;
  const Operation operation("norm_recompute",
                            {{"n_tokens", rows.n_tokens}, {"hidden_size", rows.hidden_size}});
  auto* const parts = static_cast<double*>(workspace);
  const std::int64_t n_parts = launch_recompute(operation, rows, norm, out, parts, stream);
  operation.launch(add_column_sums_kernel,
                   {static_cast<unsigned>((rows.hidden_size + kWarpSize - 1) / kWarpSize),
                    dim3(kWarpSize, kSumWarps), 0, stream},
                   parts, n_parts, rows.hidden_size, sums);
}

}  // namespace deadray::kernels::cuda
