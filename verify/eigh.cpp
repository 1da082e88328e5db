#include "verify/eigh.h"

#include <fmt/format.h>

#include <limits>

#include "host/error.h"

namespace deadray {
namespace {

constexpr double kLargestScaledError = 30.0;  // the threshold of LAPACK's own tests

double one_norm(const at::Tensor& matrix) { return matrix.numel() == 0 ? 0.0 : matrix.abs().sum(0).max().item<double>(); }

}  // namespace

Eigendecomposition eigh(const at::Tensor& c) {
  Eigendecomposition result;
  std::tie(result.values, result.vectors) = at::linalg_eigh(c);
  result.driver = "LAPACK dsyevd";

  const double unit = static_cast<double>(c.size(0)) * std::numeric_limits<double>::epsilon(), size = one_norm(c);
  at::Tensor error = c.mm(result.vectors);
  error.addcmul_(result.vectors, result.values.unsqueeze(0), -1);
  result.residual = size > 0 ? one_norm(error) / size / unit : 0.0;
  at::mm_out(error, result.vectors.t(), result.vectors);
  error.diagonal().sub_(1);
  result.orthogonality = one_norm(error) / unit;
  if (!(result.residual <= kLargestScaledError && result.orthogonality <= kLargestScaledError))
    throw InternalError(
        fmt::format("{} on a {} x {} matrix: scaled residual {:.3g} and orthogonality {:.3g}, expected at most {:g}: the driver is broken",
                    result.driver, c.size(0), c.size(0), result.residual, result.orthogonality, kLargestScaledError));
  return result;
}

}  // namespace deadray
