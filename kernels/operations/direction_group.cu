#include "kernels/operations/direction_group.cuh"

#include <algorithm>

#include "kernels/cuda/block_sums.cuh"
#include "kernels/operations/softmax_fold.cuh"

namespace deadray::kernels::cuda {
namespace {

/// Blocks that the fold of a tile is cut into: two waves of 4 on each of 132 processors.
constexpr std::int64_t kFoldBlocks = 1024;
constexpr std::int64_t kMaxSlices = 32;
/// Blocks that sum over one direction, at most.
constexpr std::int64_t kSumBlocks = 64;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
unsigned blocks_for(std::int64_t n, std::int64_t size) {
  return static_cast<unsigned>(divide_up(n, size));
}
unsigned sum_blocks(std::int64_t vocab) {
  return static_cast<unsigned>(std::min(kSumBlocks, divide_up(vocab, 1024)));
}

/// sums[k, block] = sums over the block's entries of u_i - u_0 and |u_i - u_0|.
__global__ void direction_sums_kernel(const double* directions, std::int64_t vocab, double2* sums) {
  __shared__ double scratch[2 * kMaxWarps];
  const double* u = directions + blockIdx.y * vocab;
  double values[2] = {};
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < vocab;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    values[0] += u[i] - u[0];
    values[1] += fabs(u[i] - u[0]);
  }
  block_sum(values, scratch);
  if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = {values[0], values[1]};
}

/// One thread a frame; those past n_directions are of the direction 0.
__global__ void frames_kernel(const double* directions, std::int64_t vocab,
                              std::int64_t n_directions, const double2* sums, int n_sums,
                              DirectionFrame* frames) {
  const int k = threadIdx.x;
  double sum = 0.0, magnitudes = 0.0;
  for (int b = 0; k < n_directions && b < n_sums; ++b) {
    sum += sums[k * n_sums + b].x;
    magnitudes += sums[k * n_sums + b].y;
  }
  frames[k] =
      direction_frame(k < n_directions ? directions[k * vocab] : 0.0, sum, magnitudes, vocab);
}

/// entries[chunk, i]: one thread for each.
template <typename Real>
__global__ void entries_kernel(const double* directions, std::int64_t vocab,
                               std::int64_t n_directions, const DirectionFrame* frames,
                               DirectionEntry<Real>* entries) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                     first = std::int64_t{blockIdx.y} * kDirections;
  if (i >= vocab) return;
  DirectionEntry<Real> entry;
  for (int k = 0; k < kDirections; ++k)
    entry.delta[k] =
        first + k < n_directions
            ? static_cast<Real>(frames[first + k].delta(directions[(first + k) * vocab + i]))
            : Real{0};
  entries[blockIdx.y * vocab + i] = entry;
}

/// out[t, k]: one thread for each, which takes in the slices in order.
__global__ void finish_kernel(const SoftmaxMoments* moments, std::int64_t n_slices,
                              std::int64_t n_tokens, std::int64_t n_padded,
                              const DirectionFrame* frames, double logit_scale,
                              std::int64_t n_directions, double* out, std::int64_t out_stride) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, t = i / n_directions,
                     k = i % n_directions;
  if (t >= n_tokens) return;
  SoftmaxMoments total;
  for (std::int64_t s = 0; s < n_slices; ++s)
    total.merge(moments[(s * n_tokens + t) * n_padded + k]);
  out[t * out_stride + k] = total.variance(logit_scale, frames[k]);
}

}  // namespace

template <typename Real>
DirectionMemory<Real>::DirectionMemory(std::int64_t n_directions, std::int64_t vocab,
                                       WorkspacePieces& pieces) {
  const std::int64_t padded = divide_up(std::min(n_directions, kGroup), kDirections) * kDirections;
  sums = pieces.take<double2>(padded * kSumBlocks);
  frames = pieces.take<DirectionFrame>(padded);
  entries = pieces.take<DirectionEntry<Real>>(padded / kDirections * vocab);
  // slices_of() sees to it that slices * tokens are no more.
  moments = pieces.take<SoftmaxMoments>(kFoldBlocks * kRows * padded);
}

template <typename Real>
std::int64_t slices_of(std::int64_t n_tokens, std::int64_t n_columns) {
  const std::int64_t steps = divide_up(n_columns, kStepBytes / sizeof(Real));
  return std::clamp<std::int64_t>(kFoldBlocks * kRows / n_tokens, 1, std::min(steps, kMaxSlices));
}

template <typename Real>
DirectionGroup<Real>::DirectionGroup(const Operation& operation, const LogitArguments& logits,
                                     std::int64_t vocab, const double* directions,
                                     std::int64_t n_directions, const DirectionMemory<Real>& memory,
                                     Stream stream)
    : operation_(operation),
      logits_(logits),
      vocab_(vocab),
      n_directions_(n_directions),
      n_chunks_(divide_up(n_directions, kDirections)),
      memory_(memory),
      stream_(stream) {
  const auto n = static_cast<unsigned>(n_directions_), chunks = static_cast<unsigned>(n_chunks_);
  operation_.launch(direction_sums_kernel, {dim3(sum_blocks(vocab_), n), 256, 0, stream_},
                    directions, vocab_, memory_.sums);
  operation_.launch(frames_kernel, {1, chunks * kDirections, 0, stream_}, directions, vocab_,
                    n_directions_, static_cast<const double2*>(memory_.sums),
                    static_cast<int>(sum_blocks(vocab_)), memory_.frames);
  operation_.launch(entries_kernel<Real>, {dim3(blocks_for(vocab_, 256), chunks), 256, 0, stream_},
                    directions, vocab_, n_directions_,
                    static_cast<const DirectionFrame*>(memory_.frames), memory_.entries);
}

template <typename Real>
template <typename T>
void DirectionGroup<Real>::fold(const T* products, std::int64_t row_stride, std::int64_t n_tokens,
                                std::int64_t first_column, std::int64_t n_columns,
                                std::int64_t n_slices) const {
  Fold<T, Real> fold;
  fold.products = products;
  fold.row_stride = row_stride;
  fold.n_tokens = n_tokens;
  fold.n_columns = n_columns;
  fold.rule = logit_rule<Real>(logits_.scale, logits_.soft_cap);
  fold.bias = logits_.bias ? logits_.bias + first_column : nullptr;
  fold.entries = memory_.entries + first_column;
  fold.frames = memory_.frames;
  fold.vocab = vocab_;
  fold.moments = memory_.moments;
  fold.first = first_column == 0;
  const dim3 blocks(blocks_for(n_tokens, kRows), static_cast<unsigned>(n_slices),
                    static_cast<unsigned>(n_chunks_));
  operation_.launch(logits_.soft_cap > 0.0 ? softmax_fold_kernel<T, Real, true>
                                           : softmax_fold_kernel<T, Real, false>,
                    {blocks, kFoldThreads, 0, stream_}, fold);
}

template <typename Real>
void DirectionGroup<Real>::finish(std::int64_t n_tokens, std::int64_t n_slices, double* out,
                                  std::int64_t out_stride) const {
  operation_.launch(finish_kernel, {blocks_for(n_tokens * n_directions_, 128), 128, 0, stream_},
                    static_cast<const SoftmaxMoments*>(memory_.moments), n_slices, n_tokens,
                    n_chunks_ * kDirections, static_cast<const DirectionFrame*>(memory_.frames),
                    logits_.scale, n_directions_, out, out_stride);
}

template struct DirectionMemory<float>;
template struct DirectionMemory<double>;
template class DirectionGroup<float>;
template class DirectionGroup<double>;
template std::int64_t slices_of<float>(std::int64_t, std::int64_t);
template std::int64_t slices_of<double>(std::int64_t, std::int64_t);
template void DirectionGroup<float>::fold(const float*, std::int64_t, std::int64_t, std::int64_t,
                                          std::int64_t, std::int64_t) const;
template void DirectionGroup<float>::fold(const BFloat16*, std::int64_t, std::int64_t, std::int64_t,
                                          std::int64_t, std::int64_t) const;
template void DirectionGroup<double>::fold(const double*, std::int64_t, std::int64_t, std::int64_t,
                                           std::int64_t, std::int64_t) const;

}  // namespace deadray::kernels::cuda
