#include "verify/spectrum/graded.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace deadray {
namespace {

// How far from 1 the length of e_i's part in a subspace may be: far above the rounding of a basis,
// far below what an e_i outside of it leaves.
constexpr double kOutside = 1e-6;

at::Tensor left_out(const Graded& graded) {
  const std::int64_t d = graded.live.size(0) + graded.n_zero;
  at::Tensor is_zero = at::ones({d}, graded.live.options().dtype(at::kBool));
  is_zero.index_fill_(0, graded.live, false);
  return at::nonzero(is_zero).squeeze(1);
}

}  // namespace

Graded to_unit_variances(const at::Tensor& c) {
  Graded graded;
  const at::Tensor variance = c.diagonal();
  graded.live = at::nonzero(variance > 0).squeeze(1);
  graded.n_zero = c.size(0) - graded.live.size(0);
  graded.deviation = variance.index_select(0, graded.live).sqrt();
  graded.matrix =
      (graded.n_zero > 0 ? c.index_select(0, graded.live).index_select(1, graded.live) : c.clone())
          .div_(graded.deviation.unsqueeze(1))
          .div_(graded.deviation.unsqueeze(0));
  graded.matrix.diagonal().fill_(1.0);
  // Two divisions in another order round otherwise: make it symmetric to the last bit.
  graded.matrix = (graded.matrix + graded.matrix.t()).div_(2);
  return graded;
}

std::optional<at::Tensor> basis_of_unit_variances(const Graded& graded, const at::Tensor& basis) {
  at::Tensor rest = basis;
  if (graded.n_zero > 0) {
    // The unit vectors of the coordinates left out take up n_zero of the basis: what is left of it
    // lies on the others.
    const at::Tensor part = basis.index_select(0, left_out(graded)).norm(2, {1});
    if (basis.size(1) < graded.n_zero || part.min().item<double>() < 1 - kOutside)
      return std::nullopt;
    const auto [left, values, right] =
        at::linalg_svd(basis.index_select(0, graded.live).cpu(), /*full_matrices=*/false);
    rest =
        left.narrow(1, 0, std::min(left.size(1), basis.size(1) - graded.n_zero)).to(basis.device());
  }
  if (rest.size(1) == 0) return rest;
  const at::Tensor columns = rest * graded.deviation.unsqueeze(1);
  return orthonormal(columns);
}

at::Tensor columns_of_covariance(const Graded& graded, const at::Tensor& columns) {
  const std::int64_t d = graded.live.size(0) + graded.n_zero;
  at::Tensor result = at::zeros({d, columns.size(1) + graded.n_zero}, columns.options());
  result.narrow(1, 0, columns.size(1))
      .index_copy_(0, graded.live, columns / graded.deviation.unsqueeze(1));
  if (graded.n_zero > 0)
    result.narrow(1, columns.size(1), graded.n_zero)
        .index_copy_(0, left_out(graded), at::eye(graded.n_zero, columns.options()));
  return result;
}

at::Tensor orthonormal(const at::Tensor& columns) {
  const at::Tensor host = columns.cpu();
  return std::get<0>(at::linalg_qr(host / host.norm(2, {0}, /*keepdim=*/true)))
      .to(columns.device());
}

}  // namespace deadray
