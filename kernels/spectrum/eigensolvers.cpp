#include "kernels/spectrum/eigensolvers.cuh"

#include <algorithm>
#include <optional>

namespace deadray::kernels::cuda {
namespace {

/// A Jacobi method that converges at all needs about ten.
constexpr int kMaxSweeps = 30;
/// 3 n^2 in an int.
constexpr std::int64_t kLargestSyevj = 26754;

struct Bytes {
  std::size_t device = 0, host = 0;
};

/// Beyond, a size is an int that overflowed.
constexpr std::size_t kLargestBytes = std::size_t{1} << 62;

/// What a refused query means: beyond sizes that are surely served n is too large; below, something
/// else is wrong.
constexpr CudaError::Kind refused(std::int64_t n) {
  return n > 16384 ? CudaError::Kind::too_large : CudaError::Kind::other;
}

void check_bytes(const Operation& operation, const Bytes& bytes, const char* call) {
  if (std::max(bytes.device, bytes.host) >= kLargestBytes)
    operation.fail(CudaError::Kind::too_large,
                   std::string(call) + " gave a size that no memory has, a sign of overflow");
}

Bytes syevd_bytes(Context& context, const Operation& operation, std::int64_t n) {
  Bytes bytes;
  void* const any = context.blas_workspace;  // a query reads no matrix
  operation.check(
      cusolverDnXsyevd_bufferSize(context.solver, context.solver_parameters,
                                  CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F,
                                  any, n, CUDA_R_64F, any, CUDA_R_64F, &bytes.device, &bytes.host),
      "cusolverDnXsyevd_bufferSize (known to fail from n near 23000 on)", refused(n));
  check_bytes(operation, bytes, "cusolverDnXsyevd_bufferSize");
  return bytes;
}

/// For the k smallest eigenvalues, 0 < k <= n.
Bytes syevdx_bytes(Context& context, const Operation& operation, std::int64_t n, std::int64_t k) {
  Bytes bytes;
  void* const any = context.blas_workspace;
  double low = 0.0, high = 0.0;
  std::int64_t found = 0;
  operation.check(cusolverDnXsyevdx_bufferSize(
                      context.solver, context.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                      CUSOLVER_EIG_RANGE_I, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, any, n, &low,
                      &high, 1, k, &found, CUDA_R_64F, any, CUDA_R_64F, &bytes.device, &bytes.host),
                  "cusolverDnXsyevdx_bufferSize (known to fail from n near 23000 on)", refused(n));
  check_bytes(operation, bytes, "cusolverDnXsyevdx_bufferSize");
  return bytes;
}

/// Parameters of the Jacobi method; its tolerance stays at the default, the last bit.
class SyevjParameters {
 public:
  explicit SyevjParameters(const Operation& operation) {
    operation.check(cusolverDnCreateSyevjInfo(&info_), "cusolverDnCreateSyevjInfo");
    const cusolverStatus_t set = cusolverDnXsyevjSetMaxSweeps(info_, kMaxSweeps);
    if (set != CUSOLVER_STATUS_SUCCESS) cusolverDnDestroySyevjInfo(info_);  // no destructor follows
    operation.check(set, "cusolverDnXsyevjSetMaxSweeps");
  }
  ~SyevjParameters() { cusolverDnDestroySyevjInfo(info_); }
  SyevjParameters(const SyevjParameters&) = delete;
  SyevjParameters& operator=(const SyevjParameters&) = delete;
  syevjInfo_t get() const { return info_; }

 private:
  syevjInfo_t info_ = nullptr;
};

/// Doubles of the Jacobi method's workspace, which it counts in an int. None where the matrix is
/// too large for it; want of memory and whatever else a query can say are thrown.
std::optional<int> syevj_count(Context& context, const Operation& operation, std::int64_t n,
                               const SyevjParameters& parameters) {
  if (n > kLargestSyevj) return std::nullopt;
  const auto* const any = static_cast<const double*>(context.blas_workspace);
  const auto size = static_cast<int>(n);
  int count = 0;
  const cusolverStatus_t status =
      cusolverDnDsyevj_bufferSize(context.solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER,
                                  size, any, size, any, &count, parameters.get());
  const bool is_refusal =
      status == CUSOLVER_STATUS_INVALID_VALUE || status == CUSOLVER_STATUS_NOT_SUPPORTED;
  if (is_refusal && refused(n) == CudaError::Kind::too_large) return std::nullopt;
  operation.check(status, "cusolverDnDsyevj_bufferSize");
  if (count < 0) return std::nullopt;  // it overflowed
  return count;
}

/// @param forgiven  a value of `info` besides 0 that is no error
void check_info(const Operation& operation, const char* call, const int* info, Stream stream,
                std::int64_t forgiven = 0) {
  int found = 0;
  operation.download(&found, info, sizeof found, stream);
  if (found != 0 && found != forgiven)
    operation.fail(found < 0 ? CudaError::Kind::other : CudaError::Kind::unsolved,
                   std::string(call) + " gave info " + std::to_string(found));
}

}  // namespace

std::size_t solver_scratch_bytes(Context& context, const Operation& operation, std::int64_t n,
                                 std::int64_t bottom) {
  std::size_t bytes = syevd_bytes(context, operation, n).device;
  if (bottom > 0) bytes = std::max(bytes, syevdx_bytes(context, operation, n, bottom).device);
  const std::optional<int> count = syevj_count(context, operation, n, SyevjParameters(operation));
  return std::max(bytes, static_cast<std::size_t>(count.value_or(0)) * sizeof(double));
}

void run_syevd(Context& context, const Operation& operation, std::int64_t n,
               const SolverMemory& memory, Stream stream) {
  const Bytes bytes = syevd_bytes(context, operation, n);
  operation.check(
      cusolverDnXsyevd(context.solver, context.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                       CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, memory.a, n, CUDA_R_64F,
                       memory.eigenvalues, CUDA_R_64F, memory.scratch, bytes.device,
                       context.host_memory(bytes.host), bytes.host, memory.info),
      "cusolverDnXsyevd");
  check_info(operation, "cusolverDnXsyevd", memory.info, stream);
}

void run_syevdx(Context& context, const Operation& operation, std::int64_t n, std::int64_t k,
                const SolverMemory& memory, Stream stream) {
  const Bytes bytes = syevdx_bytes(context, operation, n, k);
  double low = 0.0, high = 0.0;
  std::int64_t found = 0;
  operation.check(
      cusolverDnXsyevdx(context.solver, context.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                        CUSOLVER_EIG_RANGE_I, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, memory.a, n,
                        &low, &high, 1, k, &found, CUDA_R_64F, memory.eigenvalues, CUDA_R_64F,
                        memory.scratch, bytes.device, context.host_memory(bytes.host), bytes.host,
                        memory.info),
      "cusolverDnXsyevdx");
  check_info(operation, "cusolverDnXsyevdx", memory.info, stream);
  if (found != k)
    operation.fail(CudaError::Kind::other, "cusolverDnXsyevdx gave " + std::to_string(found) +
                                               " eigenvalues, expected " + std::to_string(k));
}

void run_syevj(Context& context, const Operation& operation, std::int64_t n,
               const SolverMemory& memory, Stream stream) {
  const SyevjParameters parameters(operation);
  const std::optional<int> count = syevj_count(context, operation, n, parameters);
  if (!count)
    operation.fail(CudaError::Kind::too_large,
                   "cusolverDnDsyevj counts its workspace in an int, which this size overflows");
  const auto size = static_cast<int>(n);
  operation.check(
      cusolverDnDsyevj(context.solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, size,
                       memory.a, size, memory.eigenvalues, static_cast<double*>(memory.scratch),
                       *count, memory.info, parameters.get()),
      "cusolverDnDsyevj");
  // n + 1: it stopped short of its tolerance.
  check_info(operation, "cusolverDnDsyevj", memory.info, stream, n + 1);
}

}  // namespace deadray::kernels::cuda
