#include "verify/spectrum/lanczos.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

namespace deadray {
namespace {

constexpr std::uint64_t kSeed = 0x6c616e637a6f73;  // any: a Gaussian start misses no eigenvector

/// Removes from w its part in span(rows of q), twice: once is not enough when little is left.
void orthogonalise(const at::Tensor& w, const at::Tensor& q) {
  if (q.size(0) == 0) return;
  for (int pass = 0; pass < 2; ++pass) w.sub_(q.t().mv(q.mv(w)));
}

/// Largest eigenvalue of the tridiagonal matrix, and the last component of its eigenvector.
std::pair<double, double> top_of_tridiagonal(const at::Tensor& tridiagonal, int size) {
  const auto [values, vectors] = at::linalg_eigh(tridiagonal.narrow(0, 0, size).narrow(1, 0, size));
  return {values[size - 1].item<double>(), vectors[size - 1][size - 1].item<double>()};
}

}  // namespace

RitzValue largest_eigenvalue(const std::function<at::Tensor(const at::Tensor&)>& apply,
                             const at::Tensor& basis, double tolerance, int max_steps) {
  const auto d = basis.size(0);
  const int limit = static_cast<int>(std::min<std::int64_t>(max_steps, d - basis.size(1)));
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor krylov = at::empty({limit, d}, basis.options()),
                   tridiagonal = at::zeros({limit, limit}, options), out = basis.t();

  at::Tensor w =
      at::randn({d}, at::make_generator<at::CPUGeneratorImpl>(kSeed), options).to(basis.device());
  orthogonalise(w, out);
  double beta = w.norm().item<double>();
  RitzValue ritz;
  for (int step = 0; step < limit; ++step) {
    krylov[step].copy_(w / beta);
    w = apply(krylov[step]);
    tridiagonal[step][step] = krylov[step].dot(w).item<double>();
    orthogonalise(w, out);
    orthogonalise(w, krylov.narrow(0, 0, step + 1));
    beta = w.norm().item<double>();
    const auto [value, last] = top_of_tridiagonal(tridiagonal, step + 1);
    ritz = {value, beta * std::abs(last), step + 1};
    if (!(ritz.residual > tolerance * value) || step + 1 == limit) break;  // NaN stops too
    tridiagonal[step][step + 1] = beta;
    tridiagonal[step + 1][step] = beta;
  }
  return ritz;
}

}  // namespace deadray
