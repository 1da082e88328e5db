#include "verify/schur.h"

#include <algorithm>
#include <cmath>

#include "verify/eigh.h"
#include "verify/thresholds.h"

namespace deadray {
namespace {

/// v^T C^-1 v by one Cholesky factor; where C is numerically singular, with its eigenvalues raised to the rounding floor d u lambda_d.
double inverse_quadratic_form(const at::Tensor& c, const at::Tensor& v) {
  const auto [lower, info] = at::linalg_cholesky_ex(c);
  if (info.item<int>() == 0) return at::linalg_solve_triangular(lower, v.unsqueeze(1), /*upper=*/false).square().sum().item<double>();
  const Eigendecomposition e = eigh(c);
  const double floor = rounding_floor(c.size(0), e.values[-1].item<double>());
  return (e.vectors.t().mv(v).square() / e.values.clamp_min(floor)).sum().item<double>();
}

}  // namespace

std::optional<double> schur_ratio(const at::Tensor& c, const at::Tensor& v) {
  const double variance = v.dot(c.mv(v)).item<double>();
  const double floor = rounding_floor(c.size(0), c.norm().item<double>());  // Frobenius: at least lambda_d
  if (!(variance > floor)) return std::nullopt;                             // NaN too
  return std::clamp(1 - 1 / (inverse_quadratic_form(c, v) * variance), 0.0, 1.0);
}

double schur_null(std::int64_t hidden_size, std::int64_t tokens) {
  if (tokens <= hidden_size) return 1.0;  // as many unknowns as samples explain anything
  return static_cast<double>(hidden_size - 1) / static_cast<double>(tokens - 1);
}

}  // namespace deadray
