#include "verify/numerics/eigh.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <limits>

#include "host/base/error.h"
#include "verify/base/tensors.h"

namespace deadray {
namespace {

constexpr std::int64_t kProbes = 8;
constexpr std::uint64_t kSeed = 0x70726f6265;  // any

}  // namespace

double one_norm(const at::Tensor& matrix) {
  return matrix.numel() == 0 ? 0.0 : matrix.abs().sum(0).max().item<double>();
}

Eigendecomposition expect_accurate(Eigendecomposition result) {
  if (!(result.residual <= kLargestScaledError && result.orthogonality <= kLargestScaledError))
    throw InternalError(
        fmt::format("{} on a {} x {} matrix: scaled residual {:.3g} and orthogonality {:.3g}, "
                    "expected at most {:g}: the driver is broken",
                    result.driver, result.vectors.size(0), result.vectors.size(0), result.residual,
                    result.orthogonality, kLargestScaledError));
  return result;
}

Eigendecomposition eigh(const at::Tensor& c) {
  Eigendecomposition result;
  std::tie(result.values, result.vectors) = at::linalg_eigh(c);
  result.driver = "LAPACK dsyevd";

  // |E x|_2 of Gaussian x is |E|_F on average.
  const double unit = static_cast<double>(c.size(0)) * std::numeric_limits<double>::epsilon(),
               size = one_norm(c);
  const at::Tensor x =
      at::randn({c.size(0), kProbes}, at::make_generator<at::CPUGeneratorImpl>(kSeed), fp64());
  const auto largest = [](const at::Tensor& errors) {
    return errors.numel() == 0 ? 0.0 : errors.norm(2, {0}).max().item<double>();
  };
  const at::Tensor image = result.vectors.mm(x);
  const at::Tensor error = c.mm(image) - result.vectors.mm(result.values.unsqueeze(1) * x);
  result.residual = size > 0 ? largest(error) / size / unit : 0.0;
  result.orthogonality = largest(result.vectors.t().mm(image) - x) / unit;
  return expect_accurate(std::move(result));
}

}  // namespace deadray
