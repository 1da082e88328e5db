#include "kernels/operations/head_fisher.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_context.cuh"
#include "kernels/cuda/row_statistics.cuh"
#include "kernels/operations/softmax_fold.cuh"

namespace deadray::kernels::cuda {
namespace {

// A tile of 2048 tokens x 4096 entries in FP32: of cuBLAS's 128 x 256 blocks 256, 97 % of two waves
// on 132 processors, and the fold finds it in the second-level cache. Two tiles: the fold of one
// overlaps with the product of the next.
constexpr std::int64_t kTileTokens = 2048, kTileBytes = std::int64_t{32} << 20,
                       kTileColumnMultiple = 256;
constexpr std::int64_t kFoldBlocks =
    1024;  // that a tile is cut into: two waves of 4 blocks on each of 132 processors
constexpr std::int64_t kGroup = 32;      // directions of one pass over the logits
constexpr std::int64_t kMaxSlices = 32;  // of a token
constexpr std::int64_t kSumBlocks = 64;  // of a direction, at most

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
int int_of(std::int64_t extent) { return static_cast<int>(extent); }
int stride_of(const Rows& rows) {
  return static_cast<int>(std::max<std::int64_t>(1, rows.row_stride));
}  // as cuBLAS wants it
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

constexpr std::int64_t kAlignment = 256;

/// Hands out pieces of a workspace; from null it only counts.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <typename T>
  T* take(std::int64_t count) {
    char* const place = memory_ ? memory_ + used_ : nullptr;
    used_ += divide_up(count * static_cast<std::int64_t>(sizeof(T)), kAlignment) * kAlignment;
    return reinterpret_cast<T*>(place);
  }
  std::size_t used() const { return static_cast<std::size_t>(used_); }

 private:
  char* memory_;
  std::int64_t used_ = 0;
};

/// Blocks that share a token, each with moments of its own; every one of them has columns in the
/// first fold, which is the widest.
std::int64_t slices(std::int64_t n_tokens, std::int64_t n_columns, std::int64_t real_bytes) {
  const std::int64_t steps = divide_up(n_columns, kStepBytes / real_bytes);
  return std::clamp<std::int64_t>(kFoldBlocks * kRows / n_tokens, 1, std::min(steps, kMaxSlices));
}

/// What is kept on the device for up to kGroup directions at work on up to kTileTokens tokens.
template <typename Real>
struct Memory {
  double2* sums;
  DirectionFrame* frames;
  DirectionEntry<Real>* entries;
  SoftmaxMoments* moments;

  Memory(std::int64_t n_directions, std::int64_t vocab, Pieces& pieces) {
    const std::int64_t padded =
        divide_up(std::min(n_directions, kGroup), kDirections) * kDirections;
    sums = pieces.take<double2>(padded * kSumBlocks);
    frames = pieces.take<DirectionFrame>(padded);
    entries = pieces.take<DirectionEntry<Real>>(padded / kDirections * vocab);
    moments = pieces.take<SoftmaxMoments>(kFoldBlocks * kRows *
                                          padded);  // slices * n_tokens is no more, see slices()
  }
};

/// Two tiles of products in what is left of a workspace: at best kTileBytes or all of the
/// vocabulary, at least kTileColumnMultiple columns.
template <typename Real>
struct Tiles {
  Real* data[2];
  std::int64_t n_columns;

  Tiles(std::int64_t n_tokens, std::int64_t vocab, std::int64_t bytes, Pieces& pieces) {
    const std::int64_t height = std::min(n_tokens, kTileTokens), width = divide_up(vocab, 8) * 8;
    const std::int64_t fit = std::min(bytes / 2 / kAlignment * kAlignment, kTileBytes) /
                             (height * static_cast<std::int64_t>(sizeof(Real)));
    n_columns = fit >= width
                    ? width
                    : std::max<std::int64_t>(fit / kTileColumnMultiple, 1) * kTileColumnMultiple;
    for (Real*& tile : data) tile = pieces.take<Real>(height * n_columns);
  }
};

/// Up to kGroup directions at work on a stream.
template <typename Real>
class Group {
 public:
  Group(const Operation& operation, const LogitArguments& logits, std::int64_t vocab,
        const double* directions, std::int64_t n_directions, const Memory<Real>& memory,
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
    operation_.launch(
        entries_kernel<Real>, {dim3(blocks_for(vocab_, 256), chunks), 256, 0, stream_}, directions,
        vocab_, n_directions_, static_cast<const DirectionFrame*>(memory_.frames), memory_.entries);
  }

  /// Takes in the products of n_columns entries from first_column on; 0 begins anew.
  template <typename T>
  void fold(const T* products, std::int64_t row_stride, std::int64_t n_tokens,
            std::int64_t first_column, std::int64_t n_columns, std::int64_t n_slices) const {
    Fold<T, Real> fold;
    fold.products = products, fold.row_stride = row_stride, fold.n_tokens = n_tokens,
    fold.n_columns = n_columns;
    fold.rule = logit_rule<Real>(logits_.scale, logits_.soft_cap);
    fold.bias = logits_.bias ? logits_.bias + first_column : nullptr;
    fold.entries = memory_.entries + first_column, fold.frames = memory_.frames,
    fold.vocab = vocab_;
    fold.moments = memory_.moments, fold.first = first_column == 0;
    const dim3 blocks(blocks_for(n_tokens, kRows), static_cast<unsigned>(n_slices),
                      static_cast<unsigned>(n_chunks_));
    operation_.launch(logits_.soft_cap > 0.0 ? softmax_fold_kernel<T, Real, true>
                                             : softmax_fold_kernel<T, Real, false>,
                      {blocks, kFoldThreads, 0, stream_}, fold);
  }

  /// @param out  [n_tokens, n_directions], rows out_stride apart
  void finish(std::int64_t n_tokens, std::int64_t n_slices, double* out,
              std::int64_t out_stride) const {
    operation_.launch(finish_kernel, {blocks_for(n_tokens * n_directions_, 128), 128, 0, stream_},
                      static_cast<const SoftmaxMoments*>(memory_.moments), n_slices, n_tokens,
                      n_chunks_ * kDirections, static_cast<const DirectionFrame*>(memory_.frames),
                      logits_.scale, n_directions_, out, out_stride);
  }

 private:
  const Operation& operation_;
  const LogitArguments& logits_;
  std::int64_t vocab_, n_directions_, n_chunks_;
  Memory<Real> memory_;
  Stream stream_;
};

/// products[t, i] = <hidden[t, :], weight[i, :]>, rows `stride` apart; column-major for cuBLAS:
/// products^T = weight * hidden^T.
void multiply(const Operation& operation, cublasHandle_t blas, const Rows& hidden,
              const Rows& weight, double* products, std::int64_t stride) {
  const double one = 1.0, zero = 0.0;
  operation.check(
      cublasDgemm(blas, CUBLAS_OP_T, CUBLAS_OP_N, int_of(weight.n_tokens), int_of(hidden.n_tokens),
                  int_of(weight.hidden_size), &one, static_cast<const double*>(weight.data),
                  stride_of(weight), static_cast<const double*>(hidden.data), stride_of(hidden),
                  &zero, products, int_of(stride)),
      "cublasDgemm");
}

void multiply(const Operation& operation, cublasHandle_t blas, const Rows& hidden,
              const Rows& weight, float* products, std::int64_t stride) {
  const float one = 1.0f, zero = 0.0f;
  const cudaDataType type = weight.type == ElementType::float32 ? CUDA_R_32F : CUDA_R_16BF;
  operation.check(
      cublasGemmEx(blas, CUBLAS_OP_T, CUBLAS_OP_N, int_of(weight.n_tokens), int_of(hidden.n_tokens),
                   int_of(weight.hidden_size), &one, weight.data, type, stride_of(weight),
                   hidden.data, type, stride_of(hidden), &zero, products, CUDA_R_32F,
                   int_of(stride), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

/// The products on the caller's stream, all else on the context's, a tile behind. A tile is written
/// again when its fold is done.
template <typename Real>
void run_head_fisher(const Operation& operation, Context& context, const Rows& hidden,
                     const Rows& weight, const LogitArguments& logits, const double* directions,
                     std::int64_t n_directions, double* out, void* workspace,
                     std::size_t workspace_bytes, Stream stream) {
  const std::int64_t vocab = weight.n_tokens;
  Pieces pieces(workspace);
  const Memory<Real> memory(n_directions, vocab, pieces);
  operation.check_workspace(workspace_bytes, pieces.used());
  const Tiles<Real> tiles(hidden.n_tokens, vocab,
                          static_cast<std::int64_t>(workspace_bytes - pieces.used()), pieces);
  operation.check_workspace(workspace_bytes, pieces.used());
  const auto wait = [&](Stream waits, cudaEvent_t mark, Stream other) {
    operation.check(cudaEventRecord(mark, other), "cudaEventRecord");
    operation.check(cudaStreamWaitEvent(waits, mark, 0), "cudaStreamWaitEvent");
  };
  wait(context.side, context.produced[0],
       stream);  // for the inputs, and for what used the workspace before
  std::int64_t n_tiles = 0;
  for (std::int64_t k = 0; k < n_directions; k += kGroup) {
    const Group<Real> group(operation, logits, vocab, directions + k * vocab,
                            std::min(kGroup, n_directions - k), memory, context.side);
    for (std::int64_t t = 0; t < hidden.n_tokens; t += kTileTokens) {
      const Rows tokens = hidden.slice(t, std::min(kTileTokens, hidden.n_tokens - t));
      const std::int64_t n_slices =
          slices(tokens.n_tokens, std::min(tiles.n_columns, vocab), sizeof(Real));
      for (std::int64_t first = 0; first < vocab; first += tiles.n_columns, ++n_tiles) {
        const Rows entries = weight.slice(first, std::min(tiles.n_columns, vocab - first));
        const std::int64_t which = n_tiles % 2;
        if (n_tiles >= 2)
          operation.check(cudaStreamWaitEvent(stream, context.consumed[which], 0),
                          "cudaStreamWaitEvent");
        multiply(operation, context.blas, tokens, entries, tiles.data[which], tiles.n_columns);
        wait(context.side, context.produced[which], stream);
        group.fold(static_cast<const Real*>(tiles.data[which]), tiles.n_columns, tokens.n_tokens,
                   first, entries.n_tokens, n_slices);
        operation.check(cudaEventRecord(context.consumed[which], context.side), "cudaEventRecord");
      }
      group.finish(tokens.n_tokens, n_slices, out + t * n_directions + k, n_directions);
    }
  }
  wait(stream, context.produced[0], context.side);
}

template <typename Real, typename T>
void run_logit_fisher(const Operation& operation, const T* data, const Rows& products,
                      const LogitArguments& logits, const double* directions,
                      std::int64_t n_directions, double* out, void* workspace, Stream stream) {
  const std::int64_t vocab = products.hidden_size;
  Pieces pieces(workspace);
  const Memory<Real> memory(n_directions, vocab, pieces);
  for (std::int64_t k = 0; k < n_directions; k += kGroup) {
    const Group<Real> group(operation, logits, vocab, directions + k * vocab,
                            std::min(kGroup, n_directions - k), memory, stream);
    for (std::int64_t t = 0; t < products.n_tokens; t += kTileTokens) {
      const std::int64_t n_tokens = std::min(kTileTokens, products.n_tokens - t),
                         n_slices = slices(n_tokens, vocab, sizeof(Real));
      group.fold(data + t * products.row_stride, products.row_stride, n_tokens, 0, vocab, n_slices);
      group.finish(n_tokens, n_slices, out + t * n_directions + k, n_directions);
    }
  }
}

template <typename Real>
std::size_t bytes_for(std::int64_t n_directions, std::int64_t vocab,
                      std::int64_t n_tokens_of_tiles) {
  Pieces pieces(nullptr);
  const Memory<Real> memory(n_directions, vocab, pieces);
  if (n_tokens_of_tiles > 0)
    const Tiles<Real> tiles(n_tokens_of_tiles, vocab, 4 * kTileBytes, pieces);
  return pieces.used();
}

/// Of an empty vocabulary there is no variance.
void clear_out(const Operation& operation, std::int64_t size, double* out, Stream stream) {
  operation.check(cudaMemsetAsync(out, 0, static_cast<std::size_t>(size) * sizeof *out, stream),
                  "cudaMemsetAsync");
}

}  // namespace

std::size_t head_fisher_workspace(std::int64_t n_tokens, std::int64_t, std::int64_t vocab,
                                  std::int64_t n_directions) {
  if (n_tokens == 0 || vocab == 0 || n_directions == 0) return 0;
  return std::max(bytes_for<float>(n_directions, vocab, n_tokens),
                  bytes_for<double>(n_directions, vocab, n_tokens));
}

std::size_t logit_fisher_workspace(std::int64_t vocab, std::int64_t n_directions) {
  return std::max(bytes_for<float>(n_directions, vocab, 0),
                  bytes_for<double>(n_directions, vocab, 0));
}

void head_fisher(Context& context, const Rows& hidden, const Rows& weight,
                 const LogitArguments& logits, const double* directions, std::int64_t n_directions,
                 double* out, void* workspace, std::size_t workspace_bytes, Stream stream) {
  const std::int64_t n_tokens = hidden.n_tokens, vocab = weight.n_tokens;
  if (n_tokens == 0 || n_directions == 0) return;  // an empty grid is a launch error
  const Operation operation("head_fisher", {{"n_tokens", n_tokens},
                                            {"hidden_size", weight.hidden_size},
                                            {"vocab", vocab},
                                            {"n_directions", n_directions}});
  if (vocab == 0) return clear_out(operation, n_tokens * n_directions, out, stream);
  if (hidden.type != weight.type)
    operation.fail(CudaError::Kind::other, "hidden and weight of two types, expected one");
  context.use(stream, operation);
  if (weight.type == ElementType::float64) {
    run_head_fisher<double>(operation, context, hidden, weight, logits, directions, n_directions,
                            out, workspace, workspace_bytes, stream);
  } else {
    run_head_fisher<float>(operation, context, hidden, weight, logits, directions, n_directions,
                           out, workspace, workspace_bytes, stream);
  }
}

void logit_fisher(const Rows& products, const LogitArguments& logits, const double* directions,
                  std::int64_t n_directions, double* out, void* workspace, Stream stream) {
  const std::int64_t n_tokens = products.n_tokens, vocab = products.hidden_size;
  if (n_tokens == 0 || n_directions == 0) return;  // an empty grid is a launch error
  const Operation operation(
      "logit_fisher", {{"n_tokens", n_tokens}, {"vocab", vocab}, {"n_directions", n_directions}});
  if (vocab == 0) return clear_out(operation, n_tokens * n_directions, out, stream);
  with_element_type(products, [&](auto data) {
    using Real = std::conditional_t<std::is_same_v<decltype(data), const double*>, double, float>;
    run_logit_fisher<Real>(operation, data, products, logits, directions, n_directions, out,
                           workspace, stream);
  });
}

}  // namespace deadray::kernels::cuda
