#include "verify/spectrum/schur.h"

#include <algorithm>
#include <cmath>

#include "verify/base/thresholds.h"
#include "verify/device/factor.h"
#include "verify/numerics/eigh.h"

namespace deadray {
namespace {

/// v^T C^-1 v by one Cholesky factor; where C is numerically singular, with its eigenvalues raised
/// to the rounding floor d u lambda_d.
double inverse_quadratic_form(const at::Tensor& c, const at::Tensor& v, Backend& backend) {
  if (const auto factor = backend.factor(c.clone(at::MemoryFormat::Contiguous)))
    return v.dot(factor->solve(v)).item<double>();
  const Eigendecomposition e = backend.eigh(c);
  const double floor = rounding_floor(c.size(0), e.values[-1].item<double>());
  return (e.vectors.t().mv(v).square() / e.values.clamp_min(floor)).sum().item<double>();
}

}  // namespace

std::optional<double> schur_ratio(const at::Tensor& c, const at::Tensor& v, Backend& backend) {
  const double variance = v.dot(c.mv(v)).item<double>();
  // The Frobenius norm: at least lambda_d.
  const double floor = rounding_floor(c.size(0), c.norm().item<double>());
  if (!(variance > floor)) return std::nullopt;  // NaN too
  return std::clamp(1 - 1 / (inverse_quadratic_form(c, v, backend) * variance), 0.0, 1.0);
}

double schur_null(std::int64_t hidden_size, std::int64_t tokens) {
  if (tokens <= hidden_size) return 1.0;  // as many unknowns as samples explain anything
  return static_cast<double>(hidden_size - 1) / static_cast<double>(tokens - 1);
}

}  // namespace deadray
