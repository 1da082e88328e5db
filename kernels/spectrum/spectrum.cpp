#include "kernels/spectrum/spectrum.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/cuda/workspace.h"
#include "kernels/spectrum/eigen_check.cuh"
#include "kernels/spectrum/eigensolvers.cuh"

namespace deadray::kernels::cuda {
namespace {

constexpr double kRoundoff = 0x1p-53, kLargestMeasure = 30.0;
/// 2^±1022 are normal numbers.
constexpr int kLargestExponent = 1022;

/// What an eigenproblem keeps in its workspace.
struct EighMemory {
  double* copy;         ///< [n, n]: the scaled matrix, for each solver anew and for the check
  double* eigenvalues;  ///< [n]
  void* sums;           ///< the check's partial results
  int* info;
  void* shared;  ///< a solver's scratch, and after it a product of the check
  std::size_t bytes;

  /// @param bottom     as of solver_scratch_bytes()
  /// @param workspace  null: only `bytes` is of use
  EighMemory(Context& context, const Operation& operation, std::int64_t n, std::int64_t bottom,
             void* workspace) {
    WorkspacePieces pieces(workspace);
    copy = pieces.take<double>(n * n);
    eigenvalues = pieces.take<double>(n);
    sums = pieces.take<char>(MatrixSums::kBytes);
    info = pieces.take<int>(1);
    shared = pieces.rest<void>();
    bytes = pieces.used() + std::max(static_cast<std::size_t>(n * n) * sizeof(double),
                                     solver_scratch_bytes(context, operation, n, bottom));
  }
};

/// The matrix of a call and the k eigenpairs that are wanted of it.
struct EighArguments {
  double* a;  ///< [n, n]; eigenvectors afterwards
  std::int64_t n, k;
  std::int64_t bottom;  ///< k where the lowest alone are asked for, else 0
  double* eigenvalues;  ///< [k]
};

/// A symmetric matrix, scaled by a power of two, that drivers are tried on one after another.
class Eigenproblem {
 public:
  Eigenproblem(Context& context, const Operation& operation, const EighArguments& arguments,
               void* workspace, std::size_t workspace_bytes, Stream stream);
  /// @throws CudaError when all fail, with all reasons: out_of_memory where any wanted some, else
  /// other where a call failed, else of the first's kind
  EighResult solve(std::initializer_list<EighDriver> drivers);
  void write_eigenvalues();

 private:
  [[noreturn]] void fail_not_finite() const;
  EighResult attempt(EighDriver driver);
  void run(EighDriver driver);
  EighResult measure(EighDriver driver);

  Context& context_;
  const Operation& operation_;
  EighArguments problem_;
  Stream stream_;
  EighMemory memory_;
  MatrixSums sums_;
  int exponent_ = 0;   // the copy is the matrix over 2^exponent
  double norm_ = 0.0;  // of the copy
  std::vector<double> eigenvalues_;
};

Eigenproblem::Eigenproblem(Context& context, const Operation& operation,
                           const EighArguments& arguments, void* workspace,
                           std::size_t workspace_bytes, Stream stream)
    : context_(context),
      operation_(operation),
      problem_(arguments),
      stream_(stream),
      memory_(context, operation, arguments.n, arguments.bottom, workspace),
      sums_(context, operation, memory_.sums, stream),
      eigenvalues_(static_cast<std::size_t>(arguments.k)) {
  operation.check_workspace(workspace_bytes, memory_.bytes);
  context.use(stream, operation);
  const double largest = sums_.largest(problem_.a, problem_.n);
  if (!std::isfinite(largest)) fail_not_finite();
  if (largest > 0.0)
    exponent_ = std::clamp(std::ilogb(largest), -kLargestExponent, kLargestExponent);
  norm_ = sums_.scaled_copy(problem_.a, problem_.n, std::ldexp(1.0, -exponent_), memory_.copy);
}

void Eigenproblem::fail_not_finite() const {
  const std::int64_t n = problem_.n;
  std::vector<double> column(static_cast<std::size_t>(n));
  for (std::int64_t j = 0; j < n; ++j) {
    operation_.download(column.data(), problem_.a + j * n, column.size() * sizeof(double), stream_);
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
      const bool says_more =
          error.kind() == CudaError::Kind::out_of_memory ||
          (error.kind() == CudaError::Kind::other && kind != CudaError::Kind::out_of_memory);
      if (reasons.empty() || says_more) kind = error.kind();
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  throw CudaError(kind, reasons);
}

EighResult Eigenproblem::attempt(EighDriver driver) {
  const auto size = static_cast<std::size_t>(problem_.n);
  operation_.check(cudaMemcpyAsync(problem_.a, memory_.copy, size * size * sizeof(double),
                                   cudaMemcpyDeviceToDevice, stream_),
                   "cudaMemcpyAsync");
  run(driver);
  operation_.download(eigenvalues_.data(), memory_.eigenvalues,
                      eigenvalues_.size() * sizeof(double), stream_);
  const EighResult result = measure(driver);
  if (!std::is_sorted(eigenvalues_.begin(), eigenvalues_.end()))
    operation_.fail(CudaError::Kind::unsolved, std::string("cusolverDn") + to_string(driver) +
                                                   " gave eigenvalues that do not ascend");
  return result;
}

void Eigenproblem::run(EighDriver driver) {
  const SolverMemory memory = {problem_.a, memory_.eigenvalues, memory_.shared, memory_.info};
  switch (driver) {
    case EighDriver::syevd:
      return run_syevd(context_, operation_, problem_.n, memory, stream_);
    case EighDriver::syevdx:
      return run_syevdx(context_, operation_, problem_.n, problem_.k, memory, stream_);
    case EighDriver::syevj:
      return run_syevj(context_, operation_, problem_.n, memory, stream_);
  }
}

/// @throws CudaError where the eigenpairs are too far off
EighResult Eigenproblem::measure(EighDriver driver) {
  const std::int64_t n = problem_.n, k = problem_.k;
  auto* const product = static_cast<double*>(memory_.shared);
  const double unit = static_cast<double>(n) * kRoundoff,
               left = sums_.residual(memory_.copy, problem_.a, memory_.eigenvalues, n, k, product);
  const EighResult result{driver, left == 0.0 ? 0.0 : left / (unit * norm_),
                          sums_.orthogonality(problem_.a, n, k, product) / unit};
  const bool passes =  // not NaN either
      result.residual <= kLargestMeasure && result.orthogonality <= kLargestMeasure;
  if (!passes)
    operation_.fail(CudaError::Kind::unsolved,
                    std::string("cusolverDn") + to_string(driver) + " gave residual " +
                        std::to_string(result.residual) + " and orthogonality " +
                        std::to_string(result.orthogonality) +
                        " in units of n u, expected at most 30 of a symmetric matrix");
  return result;
}

void Eigenproblem::write_eigenvalues() {
  for (double& value : eigenvalues_) value = std::ldexp(value, exponent_);
  operation_.check(
      cudaMemcpyAsync(problem_.eigenvalues, eigenvalues_.data(),
                      eigenvalues_.size() * sizeof(double), cudaMemcpyHostToDevice, stream_),
      "cudaMemcpyAsync");
  operation_.check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

EighResult solve(Context& context, const Operation& operation,
                 std::initializer_list<EighDriver> drivers, const EighArguments& arguments,
                 void* workspace, std::size_t workspace_bytes, Stream stream) {
  Eigenproblem problem(context, operation, arguments, workspace, workspace_bytes, stream);
  const EighResult result = problem.solve(drivers);
  problem.write_eigenvalues();
  return result;
}

}  // namespace

std::size_t eigh_workspace(Context& context, std::int64_t n) {
  const Operation operation("eigh_workspace", {{"n", n}});
  return n == 0 ? 0 : EighMemory(context, operation, n, 0, nullptr).bytes;
}

std::size_t eigh_bottom_workspace(Context& context, std::int64_t n, std::int64_t k) {
  const Operation operation("eigh_bottom_workspace", {{"n", n}, {"k", k}});
  if (k < 1 || k > n) operation.fail(CudaError::Kind::other, "expected 1 <= k <= n");
  return EighMemory(context, operation, n, k, nullptr).bytes;
}

EighResult eigh(Context& context, double* a, std::int64_t n, double* eigenvalues, void* workspace,
                std::size_t workspace_bytes, Stream stream) {
  if (n == 0) return {EighDriver::syevd, 0.0, 0.0};
  const Operation operation("eigh", {{"n", n}});
  return solve(context, operation, {EighDriver::syevd, EighDriver::syevj},
               {a, n, n, 0, eigenvalues}, workspace, workspace_bytes, stream);
}

EighResult eigh_bottom(Context& context, double* a, std::int64_t n, std::int64_t k,
                       double* eigenvalues, void* workspace, std::size_t workspace_bytes,
                       Stream stream) {
  const Operation operation("eigh_bottom", {{"n", n}, {"k", k}});
  if (k < 1 || k > n) operation.fail(CudaError::Kind::other, "expected 1 <= k <= n");
  return solve(context, operation, {EighDriver::syevdx, EighDriver::syevd, EighDriver::syevj},
               {a, n, k, k, eigenvalues}, workspace, workspace_bytes, stream);
}

}  // namespace deadray::kernels::cuda
