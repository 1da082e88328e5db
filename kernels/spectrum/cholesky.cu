#include "kernels/spectrum/cholesky.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/block_sums.cuh"
#include "kernels/cuda/cuda_context.cuh"
#include "kernels/cuda/workspace.h"

namespace deadray::kernels::cuda {
namespace {

/// Each takes every 1056th column.
constexpr std::int64_t kMaxBlocks = 1056;

struct Flags {
  int info, bad_diagonal;
};

/// The flags come first, then cuSOLVER's memory or the panel of the inverse, as the call wants.
struct CholeskyMemory {
  Flags* flags;
  void* rest;
  std::size_t bytes;

  CholeskyMemory(void* workspace, std::size_t rest_bytes) {
    WorkspacePieces pieces(workspace);
    flags = pieces.take<Flags>(1);
    rest = pieces.rest<void>();
    bytes = pieces.used() + rest_bytes;
  }
};

unsigned blocks_for(std::int64_t columns) {
  return static_cast<unsigned>(std::min(kMaxBlocks, columns));
}

/// Columns of the inverse that are solved for at once: an eighth of all. Eight wide solves, each
/// parallel over its columns, cost 0.4 n^3 flops where n^3/3 are needed.
std::int64_t panel_columns(std::int64_t n) {
  return std::min(n, std::max<std::int64_t>(64, (n / 8 + 63) / 64 * 64));
}

struct Bytes {
  std::size_t device = 0, host = 0;
};

Bytes potrf_bytes(Context& context, const Operation& operation, std::int64_t n) {
  Bytes bytes;
  operation.check(
      cusolverDnXpotrf_bufferSize(context.solver, context.solver_parameters, CUBLAS_FILL_MODE_LOWER,
                                  n, CUDA_R_64F, context.blas_workspace, n, CUDA_R_64F,
                                  &bytes.device, &bytes.host),
      "cusolverDnXpotrf_bufferSize");
  return bytes;
}

std::size_t panel_bytes(std::int64_t n) {
  return static_cast<std::size_t>(n * panel_columns(n)) * sizeof(double);
}

/// Writes zeros above the diagonal and notes a diagonal that no factor has. NaN anywhere below ends
/// up on the diagonal of its row.
__global__ void finish_factor_kernel(double* a, std::int64_t n, Flags* flags) {
  for (std::int64_t j = blockIdx.x; j < n; j += gridDim.x) {
    double* const column = a + j * n;
    for (std::int64_t i = threadIdx.x; i < j; i += blockDim.x) column[i] = 0.0;
    // All that write, write the same.
    if (threadIdx.x == 0 && !(column[j] > 0.0 && isfinite(column[j]))) flags->bad_diagonal = 1;
  }
}

/// The first columns of the identity. @param panel  [rows, columns] column-major
__global__ void identity_panel_kernel(double* panel, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t j = blockIdx.x; j < columns; j += gridDim.x)
    for (std::int64_t i = threadIdx.x; i < rows; i += blockDim.x)
      panel[j * rows + i] = i == j ? 1.0 : 0.0;
}

/// The panel's lower trapezium into a matrix of leading dimension n.
__global__ void place_panel_kernel(const double* panel, std::int64_t rows, std::int64_t columns,
                                   double* a, std::int64_t n) {
  for (std::int64_t j = blockIdx.x; j < columns; j += gridDim.x)
    for (std::int64_t i = j + threadIdx.x; i < rows; i += blockDim.x)
      a[j * n + i] = panel[j * rows + i];
}

}  // namespace

std::size_t cholesky_workspace(Context& context, std::int64_t n) {
  const Operation operation("cholesky_workspace", {{"n", n}});
  if (n == 0) return 0;
  const std::size_t rest = std::max(potrf_bytes(context, operation, n).device, panel_bytes(n));
  return CholeskyMemory(nullptr, rest).bytes;
}

bool cholesky(Context& context, double* a, std::int64_t n, void* workspace,
              std::size_t workspace_bytes, Stream stream) {
  if (n == 0) return true;
  const Operation operation("cholesky", {{"n", n}});
  const Bytes bytes = potrf_bytes(context, operation, n);
  const CholeskyMemory memory(workspace, bytes.device);
  operation.check_workspace(workspace_bytes, memory.bytes);
  Flags* const flags = memory.flags;
  context.use(stream, operation);
  operation.check(cudaMemsetAsync(flags, 0, sizeof(Flags), stream), "cudaMemsetAsync");
  operation.check(
      cusolverDnXpotrf(context.solver, context.solver_parameters, CUBLAS_FILL_MODE_LOWER, n,
                       CUDA_R_64F, a, n, CUDA_R_64F, memory.rest, bytes.device,
                       context.host_memory(bytes.host), bytes.host, &flags->info),
      "cusolverDnXpotrf");
  operation.launch(finish_factor_kernel, {blocks_for(n), threads_for(n), 0, stream}, a, n, flags);
  Flags found{};
  operation.download(&found, flags, sizeof found, stream);
  if (found.info < 0)
    operation.fail(CudaError::Kind::other,
                   "cusolverDnXpotrf gave info " + std::to_string(found.info));
  return found.info == 0 && found.bad_diagonal == 0;
}

// Not cusolverDnXtrtri: neither its speed nor its workspace is documented, and a wide Dtrsm is the
// best tuned triangular routine there is. Column block j of X needs L from row and column j on;
// left to right, it can take the place of L's own.
void triangular_inverse(Context& context, double* lower, std::int64_t n, void* workspace,
                        std::size_t workspace_bytes, Stream stream) {
  if (n == 0) return;
  const Operation operation("triangular_inverse", {{"n", n}});
  const CholeskyMemory memory(workspace, panel_bytes(n));
  operation.check_workspace(workspace_bytes, memory.bytes);
  auto* const panel = static_cast<double*>(memory.rest);
  const double one = 1.0;
  context.use(stream, operation);
  for (std::int64_t j = 0; j < n; j += panel_columns(n)) {
    const std::int64_t rows = n - j, columns = std::min(panel_columns(n), rows);
    double* const block = lower + j * n + j;
    operation.launch(identity_panel_kernel, {blocks_for(columns), threads_for(rows), 0, stream},
                     panel, rows, columns);
    operation.check(
        cublasDtrsm(context.blas, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                    CUBLAS_DIAG_NON_UNIT, static_cast<int>(rows), static_cast<int>(columns), &one,
                    block, static_cast<int>(n), panel, static_cast<int>(rows)),
        "cublasDtrsm");
    operation.launch(place_panel_kernel, {blocks_for(columns), threads_for(rows), 0, stream}, panel,
                     rows, columns, block, n);
  }
}

// Dgemv reads the zeros above the diagonal too, at the memory's full rate; Dtrmv would skip them,
// one dependent block after another.
void inverse_product(Context& context, const double* lower_inverse, std::int64_t n, const double* x,
                     double* y, double* scratch, Stream stream) {
  if (n == 0) return;
  const Operation operation("inverse_product", {{"n", n}});
  const auto size = static_cast<int>(n);
  const double one = 1.0, zero = 0.0;
  context.use(stream, operation);
  operation.check(cublasDgemv(context.blas, CUBLAS_OP_N, size, size, &one, lower_inverse, size, x,
                              1, &zero, scratch, 1),
                  "cublasDgemv");
  operation.check(cublasDgemv(context.blas, CUBLAS_OP_T, size, size, &one, lower_inverse, size,
                              scratch, 1, &zero, y, 1),
                  "cublasDgemv");
}

}  // namespace deadray::kernels::cuda
