#include "kernels/operations/centred_moments.h"

#include <algorithm>

#include "kernels/cuda/cuda_context.cuh"
#include "kernels/cuda/workspace.h"
#include "kernels/operations/norm_recompute.h"

namespace deadray::kernels::cuda {
namespace {

// A tile's rows are the inner extent of its product. At hidden_size 4096 this is 8192 of them: the
// product takes 2.5 ms of an H100 at 55 TFLOP/s; writing the tile and its column sums, 0.15 ms at 3
// TB/s; reading and writing the triangle anew, 0.05 ms.
constexpr std::int64_t kTileBytes = 256 << 20;
std::int64_t most_tile_rows(std::int64_t hidden_size) {
  return std::max<std::int64_t>(kTileBytes / (8 * hidden_size), 1);
}

/// Of the squares in which the matrix is finished.
constexpr int kEdge = 32, kThreadRows = 8;

/// Each block finishes a square of the lower triangle in place. The copy across the diagonal goes
/// by way of shared memory, whose rows of odd length keep banks apart.
__global__ void finish_moments_kernel(double n_tokens, std::int64_t hidden_size, bool centred,
                                      const double* sums, double* mean, double* gram) {
  __shared__ double square[kEdge][kEdge + 1];
  if (blockIdx.x < blockIdx.y) return;
  const std::int64_t first_i = std::int64_t{blockIdx.x} * kEdge,
                     first_j = std::int64_t{blockIdx.y} * kEdge;
  const std::int64_t i = first_i + threadIdx.x;
  if (blockIdx.x == blockIdx.y && threadIdx.y == 0 && i < hidden_size) mean[i] = sums[i] / n_tokens;
  for (int y = threadIdx.y; y < kEdge; y += kThreadRows) {
    const std::int64_t j = first_j + y;
    if (j > i || i >= hidden_size) continue;
    double& entry = gram[j * hidden_size + i];
    entry = centred ? covariance_entry(entry, sums[i], sums[j], n_tokens) : entry / n_tokens;
    square[y][threadIdx.x] = entry;
  }
  __syncthreads();
  const std::int64_t j = first_j + threadIdx.x;  // neighbours in memory now
  for (int y = threadIdx.y; y < kEdge; y += kThreadRows) {
    const std::int64_t row = first_i + y;
    if (j < row && row < hidden_size) gram[row * hidden_size + j] = square[threadIdx.x][y];
  }
}

}  // namespace

std::size_t add_moments_workspace(std::int64_t n_tokens, std::int64_t hidden_size) {
  if (n_tokens == 0 || hidden_size == 0) return 0;
  return static_cast<std::size_t>(std::min(most_tile_rows(hidden_size), n_tokens) * hidden_size) *
             sizeof(double) +
         norm_recompute_workspace(hidden_size);
}

void add_moments(Context& context, const Rows& rows, const NormArguments& norm, double* sums,
                 double* gram, void* workspace, std::size_t workspace_bytes, Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;
  const Operation operation("add_moments",
                            {{"n_tokens", rows.n_tokens}, {"hidden_size", rows.hidden_size}});
  // What norm_recompute() needs comes first, the tile behind it, of one row at least.
  WorkspacePieces pieces(workspace);
  void* const parts =
      pieces.take<char>(static_cast<std::int64_t>(norm_recompute_workspace(rows.hidden_size)));
  auto* const tile = pieces.rest<double>();
  const std::size_t row_bytes = static_cast<std::size_t>(rows.hidden_size) * sizeof(double);
  operation.check_workspace(workspace_bytes, pieces.used() + row_bytes);
  const auto room = static_cast<std::int64_t>((workspace_bytes - pieces.used()) / row_bytes);
  const std::int64_t tile_rows = std::min(room, most_tile_rows(rows.hidden_size));
  const auto n = static_cast<int>(rows.hidden_size);
  const double one = 1.0;
  context.use(stream, operation);
  for (std::int64_t first = 0; first < rows.n_tokens; first += tile_rows) {
    const std::int64_t n_rows = std::min(tile_rows, rows.n_tokens - first);
    norm_recompute(rows.slice(first, n_rows), norm, tile, sums, parts, stream);
    operation.check(cublasDsyrk(context.blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, n,
                                static_cast<int>(n_rows), &one, tile, n, &one, gram, n),
                    "cublasDsyrk");
  }
}

void finish_moments(std::int64_t n_tokens, std::int64_t hidden_size, bool centred,
                    const double* sums, double* mean, double* gram, Stream stream) {
  if (hidden_size == 0) return;
  const Operation operation("finish_moments",
                            {{"n_tokens", n_tokens}, {"hidden_size", hidden_size}});
  const auto edge = static_cast<unsigned>((hidden_size + kEdge - 1) / kEdge);
  operation.launch(finish_moments_kernel, {dim3(edge, edge), dim3(kEdge, kThreadRows), 0, stream},
                   static_cast<double>(std::max<std::int64_t>(n_tokens, 1)), hidden_size, centred,
                   sums, mean, gram);
}

}  // namespace deadray::kernels::cuda
