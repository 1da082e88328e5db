#include "verify/probe/inherited.h"

#include <ATen/ATen.h>

#include "verify/base/tensors.h"
#include "verify/base/thresholds.h"
#include "verify/numerics/eigh.h"
#include "verify/probe/comparison.h"
#include "verify/spectrum/graded.h"

namespace deadray {
namespace {

/// A = D_gamma P M P D_gamma, exactly symmetric.
at::Tensor weighted_moment(NormKind kind, const at::Tensor& gamma, const at::Tensor& moment) {
  const at::Tensor weights = at::outer(gamma, gamma);
  if (kind == NormKind::rmsnorm) return weights.mul_(moment);
  const at::Tensor means = moment.mean(1);
  return weights.mul_(moment - (means.unsqueeze(0) + means.unsqueeze(1)) + means.mean());
}

/// The coordinates that are not predicted to be dead: those are explained already, and a tiny
/// gamma_i, scaled to one, would not look dead.
at::Tensor other_coordinates(const DeadSubspace& predicted, std::int64_t d) {
  at::Tensor others = at::ones({d}, at::kBool);
  for (const std::int64_t i : predicted.coordinates) others[i].fill_(false);
  return at::nonzero(others).squeeze(1);
}

/// Orthonormal columns that span the null space of A.
at::Tensor null_space(const at::Tensor& a, double roundoff, Backend& backend) {
  const Graded graded = to_unit_variances(a);
  at::Tensor null = at::empty({graded.live.size(0), 0}, a.options());
  if (graded.live.size(0) > 0) {
    const Eigendecomposition e = backend.eigh(graded.matrix);
    const double floor = rounding_floor(graded.live.size(0), e.values[-1].item<double>(), roundoff);
    null = e.vectors.narrow(1, 0, (e.values < floor).sum().item<std::int64_t>());
  }
  const at::Tensor columns = columns_of_covariance(graded, null);
  return columns.size(1) > 0 ? orthonormal(columns) : columns;
}

}  // namespace

at::Tensor explained_directions(NormKind kind, const std::vector<double>& gamma,
                                const DeadSubspace& predicted, const at::Tensor& second_moment,
                                double roundoff, Backend& backend) {
  const auto d = static_cast<std::int64_t>(gamma.size());
  const at::Device device = backend.device();
  const at::Tensor basis = basis_of(predicted, d).to(device),
                   others = other_coordinates(predicted, d).to(device);
  if (others.size(0) == 0) return basis;
  const at::Tensor a = weighted_moment(kind, to_tensor(gamma).to(device), second_moment);
  const at::Tensor null =
      null_space(a.index_select(0, others).index_select(1, others), roundoff, backend);
  at::Tensor found = at::zeros({d, null.size(1)}, basis.options());
  found.index_copy_(0, others, null);
  // Beside the prediction, twice for the rounding. Of a null space that contains the predicted
  // directions, each length left is 0 or 1.
  for (int pass = 0; pass < 2; ++pass) found = found - basis.mm(basis.t().mm(found));
  if (found.size(1) == 0) return basis;
  const auto [left, lengths, right] = at::linalg_svd(found.cpu(), /*full_matrices=*/false);
  const auto count = (lengths > 0.5).sum().item<std::int64_t>();
  return at::cat({basis, left.narrow(1, 0, count).to(device)}, 1);
}

}  // namespace deadray
