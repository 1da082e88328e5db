#include "kernels/operations/spectrum.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "kernels/operations/eigen_check.cuh"

namespace deadray::kernels::cuda {
namespace {

constexpr double kRoundoff = 0x1p-53, kLargestMeasure = 30.0;
constexpr int kMaxSweeps = 30;  // a Jacobi method that converges at all needs about ten
constexpr std::int64_t kLargestSyevj = 26754;  // 3 n^2 in an int
constexpr int kLargestExponent = 1022;         // 2^±1022 are normal numbers

struct Bytes {
  std::size_t device = 0, host = 0;
};

/// What a refused query means: beyond sizes that are surely served n is too large; below, something
/// else is wrong.
constexpr CudaError::Kind refused(std::int64_t n) {
  return n > 16384 ? CudaError::Kind::too_large : CudaError::Kind::other;
}

Bytes syevd_bytes(Context& context, const Operation& operation, std::int64_t n) {
  Bytes bytes;
  void* const any = context.blas_workspace;  // a query reads no matrix
  operation.check(
      cusolverDnXsyevd_bufferSize(context.solver, context.solver_parameters,
                                  CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F,
                                  any, n, CUDA_R_64F, any, CUDA_R_64F, &bytes.device, &bytes.host),
      "cusolverDnXsyevd_bufferSize (known to fail from n near 23000 on)", refused(n));
  return bytes;
}

Bytes syevdx_bytes(Context& context, const Operation& operation, std::int64_t n) {
  Bytes bytes;
  void* const any = context.blas_workspace;
  double low = 0.0, high = 0.0;
  std::int64_t found = 0;
  operation.check(cusolverDnXsyevdx_bufferSize(
                      context.solver, context.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                      CUSOLVER_EIG_RANGE_I, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, any, n, &low,
                      &high, 1, n, &found, CUDA_R_64F, any, CUDA_R_64F, &bytes.device, &bytes.host),
                  "cusolverDnXsyevdx_bufferSize (known to fail from n near 23000 on)", refused(n));
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

/// In doubles, and counted in an int there.
std::size_t syevj_bytes(Context& context, const Operation& operation, std::int64_t n,
                        const SyevjParameters& parameters) {
  const auto* const any = static_cast<const double*>(context.blas_workspace);
  if (n > kLargestSyevj)
    operation.fail(CudaError::Kind::too_large,
                   "cusolverDnDsyevj_bufferSize would overflow its int");
  const auto size = static_cast<int>(n);
  int count = 0;
  operation.check(
      cusolverDnDsyevj_bufferSize(context.solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER,
                                  size, any, size, any, &count, parameters.get()),
      "cusolverDnDsyevj_bufferSize", refused(n));
  return static_cast<std::size_t>(count) * sizeof(double);
}

/// A workspace's pieces, as offsets.
struct Layout {
  std::size_t copy = 0, values, sums, info, shared,
              end;  // shared: a driver's memory, and after it the check's
  Layout(Context& context, const Operation& operation, std::int64_t n) {
    const auto aligned = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
    const auto size = static_cast<std::size_t>(n), matrix = size * size * sizeof(double);
    std::size_t largest = std::max({matrix, syevd_bytes(context, operation, n).device,
                                    syevdx_bytes(context, operation, n).device});
    try {
      largest = std::max(largest, syevj_bytes(context, operation, n, SyevjParameters(operation)));
    } catch (const CudaError&) {
      // then there is no second driver for this size, as it will say itself if it is called
    }
    values = copy + aligned(matrix);
    sums = values + aligned(size * sizeof(double));
    info = sums + aligned(MatrixSums::kBytes);
    shared = info + aligned(sizeof(int));
    end = shared + largest;
  }
};

/// A symmetric matrix, scaled by a power of two, that drivers are tried on one after another.
class Eigenproblem {
 public:
  Eigenproblem(Context& context, const Operation& operation, double* a, std::int64_t n,
               std::int64_t k, void* workspace, std::size_t workspace_bytes, Stream stream);
  /// @throws CudaError when all fail, with all reasons: of the first's kind, or out_of_memory where
  /// any wanted some
  EighResult solve(std::initializer_list<EighDriver> drivers);
  void write_eigenvalues(double* to);

 private:
  [[noreturn]] void fail_not_finite() const;
  EighResult attempt(EighDriver driver);
  void run_syevd();
  void run_syevdx();
  void run_syevj();
  void check_info(const char* call, std::int64_t forgiven);
  void read(void* to, const void* from, std::size_t bytes) const;
  template <class T>
  T* piece(std::size_t offset) const {
    return reinterpret_cast<T*>(static_cast<char*>(workspace_) + offset);
  }

  Context& context_;
  const Operation& operation_;
  double* a_;
  std::int64_t n_, k_;
  void* workspace_;
  Stream stream_;
  Layout layout_;
  MatrixSums sums_;
  int exponent_ = 0;   // the copy is the matrix over 2^exponent
  double norm_ = 0.0;  // of the copy
  std::vector<double> eigenvalues_;
};

Eigenproblem::Eigenproblem(Context& context, const Operation& operation, double* a, std::int64_t n,
                           std::int64_t k, void* workspace, std::size_t workspace_bytes,
                           Stream stream)
    : context_(context),
      operation_(operation),
      a_(a),
      n_(n),
      k_(k),
      workspace_(workspace),
      stream_(stream),
      layout_(context, operation, n),
      sums_(context, operation, piece<char>(layout_.sums), stream),
      eigenvalues_(static_cast<std::size_t>(k)) {
  operation.check_workspace(workspace_bytes, layout_.end);
  context.use(stream, operation);
  const double largest = sums_.largest(a, n);
  if (!std::isfinite(largest)) fail_not_finite();
  if (largest > 0.0)
    exponent_ = std::clamp(std::ilogb(largest), -kLargestExponent, kLargestExponent);
  norm_ = sums_.scaled_copy(a, n, std::ldexp(1.0, -exponent_), piece<double>(layout_.copy));
}

void Eigenproblem::fail_not_finite() const {
  std::vector<double> column(static_cast<std::size_t>(n_));
  for (std::int64_t j = 0; j < n_; ++j) {
    read(column.data(), a_ + j * n_, column.size() * sizeof(double));
    const auto place = std::find_if(column.begin(), column.end(),
                                    [](double value) { return !std::isfinite(value); });
    if (place == column.end()) continue;
    operation_.fail(CudaError::Kind::other, "element [" + std::to_string(place - column.begin()) +
                                                ", " + std::to_string(j) + "] is " +
                                                std::to_string(*place) +
                                                ", expected finite numbers");
  }
  operation_.fail(CudaError::Kind::other, "the matrix changed while it was read");
}

EighResult Eigenproblem::solve(std::initializer_list<EighDriver> drivers) {
  CudaError::Kind kind = CudaError::Kind::other;
  std::string reasons;
  for (const EighDriver driver : drivers) {
    try {
      return attempt(driver);
    } catch (const CudaError& error) {
      if (reasons.empty() || error.kind() == CudaError::Kind::out_of_memory) kind = error.kind();
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  throw CudaError(kind, reasons);
}

EighResult Eigenproblem::attempt(EighDriver driver) {
  const auto size = static_cast<std::size_t>(n_);
  auto* const copy = piece<double>(layout_.copy);
  auto* const values = piece<double>(layout_.values);
  auto* const product = piece<double>(layout_.shared);
  operation_.check(
      cudaMemcpyAsync(a_, copy, size * size * sizeof(double), cudaMemcpyDeviceToDevice, stream_),
      "cudaMemcpyAsync");
  switch (driver) {
    case EighDriver::syevd:
      run_syevd();
      break;
    case EighDriver::syevdx:
      run_syevdx();
      break;
    case EighDriver::syevj:
      run_syevj();
      break;
  }
  read(eigenvalues_.data(), values, eigenvalues_.size() * sizeof(double));
  const double unit = static_cast<double>(n_) * kRoundoff,
               left = sums_.residual(copy, a_, values, n_, k_, product);
  const EighResult result{driver, left == 0.0 ? 0.0 : left / (unit * norm_),
                          sums_.orthogonality(a_, n_, k_, product) / unit};
  if (!(result.residual <= kLargestMeasure &&
        result.orthogonality <= kLargestMeasure)) {  // NaN too
    operation_.fail(CudaError::Kind::other,
                    std::string("cusolverDn") + to_string(driver) + " gave residual " +
                        std::to_string(result.residual) + " and orthogonality " +
                        std::to_string(result.orthogonality) +
                        " in units of n u, expected at most 30 of a symmetric matrix");
  }
  if (!std::is_sorted(eigenvalues_.begin(), eigenvalues_.end()))
    operation_.fail(CudaError::Kind::other, std::string("cusolverDn") + to_string(driver) +
                                                " gave eigenvalues that do not ascend");
  return result;
}

void Eigenproblem::run_syevd() {
  const Bytes bytes = syevd_bytes(context_, operation_, n_);
  operation_.check(
      cusolverDnXsyevd(context_.solver, context_.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                       CUBLAS_FILL_MODE_LOWER, n_, CUDA_R_64F, a_, n_, CUDA_R_64F,
                       piece<double>(layout_.values), CUDA_R_64F, piece<char>(layout_.shared),
                       bytes.device, context_.host_memory(bytes.host), bytes.host,
                       piece<int>(layout_.info)),
      "cusolverDnXsyevd");
  check_info("cusolverDnXsyevd", 0);
}

void Eigenproblem::run_syevdx() {
  const Bytes bytes = syevdx_bytes(context_, operation_, n_);  // for all of them: enough for k
  double low = 0.0, high = 0.0;
  std::int64_t found = 0;
  operation_.check(
      cusolverDnXsyevdx(context_.solver, context_.solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                        CUSOLVER_EIG_RANGE_I, CUBLAS_FILL_MODE_LOWER, n_, CUDA_R_64F, a_, n_, &low,
                        &high, 1, k_, &found, CUDA_R_64F, piece<double>(layout_.values), CUDA_R_64F,
                        piece<char>(layout_.shared), bytes.device, context_.host_memory(bytes.host),
                        bytes.host, piece<int>(layout_.info)),
      "cusolverDnXsyevdx");
  check_info("cusolverDnXsyevdx", 0);
  if (found != k_)
    operation_.fail(CudaError::Kind::other, "cusolverDnXsyevdx gave " + std::to_string(found) +
                                                " eigenvalues, expected " + std::to_string(k_));
}

void Eigenproblem::run_syevj() {
  const SyevjParameters parameters(operation_);
  const std::size_t bytes = syevj_bytes(context_, operation_, n_, parameters);
  const auto size = static_cast<int>(n_);
  operation_.check(
      cusolverDnDsyevj(context_.solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, size, a_,
                       size, piece<double>(layout_.values), piece<double>(layout_.shared),
                       static_cast<int>(bytes / sizeof(double)), piece<int>(layout_.info),
                       parameters.get()),
      "cusolverDnDsyevj");
  check_info("cusolverDnDsyevj",
             n_ + 1);  // short of its tolerance: the check says whether that matters
}

void Eigenproblem::check_info(const char* call, std::int64_t forgiven) {
  int info = 0;
  read(&info, piece<int>(layout_.info), sizeof info);
  if (info != 0 && info != forgiven)
    operation_.fail(CudaError::Kind::other,
                    std::string(call) + " gave info " + std::to_string(info));
}

void Eigenproblem::read(void* to, const void* from, std::size_t bytes) const {
  operation_.check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
                   "cudaMemcpyAsync");
  operation_.check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void Eigenproblem::write_eigenvalues(double* to) {
  for (double& value : eigenvalues_) value = std::ldexp(value, exponent_);
  operation_.check(cudaMemcpyAsync(to, eigenvalues_.data(), eigenvalues_.size() * sizeof(double),
                                   cudaMemcpyHostToDevice, stream_),
                   "cudaMemcpyAsync");
  operation_.check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

EighResult solve(Context& context, const Operation& operation,
                 std::initializer_list<EighDriver> drivers, double* a, std::int64_t n,
                 std::int64_t k, double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                 Stream stream) {
  Eigenproblem problem(context, operation, a, n, k, workspace, workspace_bytes, stream);
  const EighResult result = problem.solve(drivers);
  problem.write_eigenvalues(eigenvalues);
  return result;
}

}  // namespace

std::size_t eigh_workspace(Context& context, std::int64_t n) {
  const Operation operation("eigh_workspace", {{"n", n}});
  return n == 0 ? 0 : Layout(context, operation, n).end;
}

EighResult eigh(Context& context, double* a, std::int64_t n, double* eigenvalues, void* workspace,
                std::size_t workspace_bytes, Stream stream) {
  if (n == 0) return {EighDriver::syevd, 0.0, 0.0};
  const Operation operation("eigh", {{"n", n}});
  return solve(context, operation, {EighDriver::syevd, EighDriver::syevj}, a, n, n, eigenvalues,
               workspace, workspace_bytes, stream);
}

EighResult eigh_bottom(Context& context, double* a, std::int64_t n, std::int64_t k,
                       double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                       Stream stream) {
  const Operation operation("eigh_bottom", {{"n", n}, {"k", k}});
  if (k < 1 || k > n) operation.fail(CudaError::Kind::other, "expected 1 <= k <= n");
  return solve(context, operation, {EighDriver::syevdx, EighDriver::syevd, EighDriver::syevj}, a, n,
               k, eigenvalues, workspace, workspace_bytes, stream);
}

}  // namespace deadray::kernels::cuda
