#include "kernels/operations/head_fisher.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_context.cuh"
#include "kernels/operations/direction_group.cuh"

namespace deadray::kernels::cuda {
namespace {

// A tile of 2048 tokens x 2048 entries in FP32: of cuBLAS's 128 x 256 blocks 128, 97 % of a wave on
// 132 processors. Two tiles: the fold of one overlaps with the product of the next. Together they
// are 32 MiB, so that the fold finds its tile in a second-level cache of 50 MB, from which two of
// 32 MiB would drive it. Calculated, not measured: a smaller workspace gives smaller tiles, which
// `bench kernels` compares.
constexpr std::int64_t kTileTokens = 2048, kTileBytes = std::int64_t{16} << 20,
                       kTileColumnMultiple = 256, kWideColumnMultiple = 1024, kTileAlignment = 256;

int int_of(std::int64_t extent) { return static_cast<int>(extent); }
/// A leading dimension of 0 is an error to cuBLAS.
int stride_of(const Rows& rows) { return int_of(std::max<std::int64_t>(1, rows.row_stride)); }

/// Two tiles of products in what is left of a workspace: at best kTileBytes or all of the
/// vocabulary, at least kTileColumnMultiple columns.
template <typename Real>
struct Tiles {
  Real* data[2];
  std::int64_t n_columns;

  Tiles(std::int64_t n_tokens, std::int64_t vocab, std::int64_t bytes, WorkspacePieces& pieces) {
    const std::int64_t height = std::min(n_tokens, kTileTokens), width = (vocab + 7) / 8 * 8;
    const std::int64_t fit = std::min(bytes / 2 / kTileAlignment * kTileAlignment, kTileBytes) /
                             (height * static_cast<std::int64_t>(sizeof(Real)));
    // Wide ones are multiples that fill cuBLAS's blocks in whole parts of a wave.
    const std::int64_t multiple =
        fit >= kWideColumnMultiple ? kWideColumnMultiple : kTileColumnMultiple;
    n_columns = fit >= width ? width : std::max<std::int64_t>(fit / multiple, 1) * multiple;
    for (Real*& tile : data) tile = pieces.take<Real>(height * n_columns);
  }
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

/// The products on the caller's stream, all else on the context's, a tile behind. That one has the
/// highest priority: a fold would else wait behind the next product's blocks. A tile is written
/// again when its fold is done.
template <typename Real>
void run_head_fisher(const Operation& operation, Context& context, const Rows& hidden,
                     const Rows& weight, const LogitArguments& logits, const double* directions,
                     std::int64_t n_directions, double* out, void* workspace,
                     std::size_t workspace_bytes, Stream stream) {
  const std::int64_t vocab = weight.n_tokens;
  WorkspacePieces pieces(workspace);
  const DirectionMemory<Real> memory(n_directions, vocab, pieces);
  operation.check_workspace(workspace_bytes, pieces.used());
  const Tiles<Real> tiles(hidden.n_tokens, vocab,
                          static_cast<std::int64_t>(workspace_bytes - pieces.used()), pieces);
  operation.check_workspace(workspace_bytes, pieces.used());
  const auto wait = [&](Stream waits, cudaEvent_t mark, Stream other) {
    operation.check(cudaEventRecord(mark, other), "cudaEventRecord");
    operation.check(cudaStreamWaitEvent(waits, mark, 0), "cudaStreamWaitEvent");
  };
  // For the inputs, and for what used the workspace before.
  wait(context.side, context.produced[0], stream);
  std::int64_t n_tiles = 0;
  for (std::int64_t k = 0; k < n_directions; k += kGroup) {
    const DirectionGroup<Real> group(operation, logits, vocab, directions + k * vocab,
                                     std::min(kGroup, n_directions - k), memory, context.side);
    for (std::int64_t t = 0; t < hidden.n_tokens; t += kTileTokens) {
      const Rows tokens = hidden.slice(t, std::min(kTileTokens, hidden.n_tokens - t));
      const std::int64_t n_slices =
          slices_of<Real>(tokens.n_tokens, std::min(tiles.n_columns, vocab));
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
  WorkspacePieces pieces(workspace);
  const DirectionMemory<Real> memory(n_directions, vocab, pieces);
  for (std::int64_t k = 0; k < n_directions; k += kGroup) {
    const DirectionGroup<Real> group(operation, logits, vocab, directions + k * vocab,
                                     std::min(kGroup, n_directions - k), memory, stream);
    for (std::int64_t t = 0; t < products.n_tokens; t += kTileTokens) {
      const std::int64_t n_tokens = std::min(kTileTokens, products.n_tokens - t),
                         n_slices = slices_of<Real>(n_tokens, vocab);
      group.fold(data + t * products.row_stride, products.row_stride, n_tokens, 0, vocab, n_slices);
      group.finish(n_tokens, n_slices, out + t * n_directions + k, n_directions);
    }
  }
}

/// @param n_tokens_of_tiles  0: without tiles
template <typename Real>
std::size_t bytes_for(std::int64_t n_directions, std::int64_t vocab,
                      std::int64_t n_tokens_of_tiles) {
  WorkspacePieces pieces(nullptr);
  const DirectionMemory<Real> memory(n_directions, vocab, pieces);
  if (n_tokens_of_tiles > 0)
    const Tiles<Real> tiles(n_tokens_of_tiles, vocab, 2 * kTileBytes, pieces);
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
