#include "verify/spectrum/certificate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "verify/base/thresholds.h"
#include "verify/device/factor.h"
#include "verify/spectrum/lanczos.h"

namespace deadray {
namespace {

constexpr double kNextTolerance = 1e-4;  // relative, of the smallest eigenvalue on the complement
constexpr double kLargestTolerance = 1e-3;  // relative residual of the pair; the value is better
constexpr int kLargestSteps = 60;

/// C with the basis deflated: Q C Q + mu P P^T, Q = 1 - P P^T. P becomes invariant with eigenvalue
/// mu, the complement keeps its compression of C.
class Deflated {
 public:
  Deflated(const at::Tensor& c, const at::Tensor& basis, const at::Tensor& image,
           const at::Tensor& compression, double mu)
      : c_(c) {
    const at::Tensor g = image - basis.mm(compression) / 2 - basis * (mu / 2);
    left_ = at::cat({basis, g}, 1);
    right_ = at::cat({g, basis}, 1);
  }
  /// The matrix less sigma on the diagonal, in `work`.
  void assemble(const at::Tensor& work, double sigma) const {
    work.copy_(c_);
    if (left_.size(1) > 0) work.addmm_(left_, right_.t(), 1, -1);
    work.diagonal().sub_(sigma);
  }

 private:
  at::Tensor c_, left_, right_;
};

/// |X|_2 of a matrix of a few columns; on the host, the only place where libtorch is sure to have
/// its own LAPACK.
double spectral_norm(const at::Tensor& columns) {
  return at::linalg_matrix_norm(columns.cpu(), 2).item<double>();
}

/// The gap that a verdict asks for, and the shift at which a Cholesky factor proves it.
///
/// Sylvester: if the matrix less sigma has a Cholesky factor, no eigenvalue of the complement lies
/// below sigma, but for the rounding of the factorisation, at most (d + 1) u trace (Higham,
/// Accuracy and Stability, theorem 10.3). So the gap needs no trust in Lanczos.
struct Gap {
  double floor, target, sigma;
};

Gap gap_to_prove(const at::Tensor& c, std::int64_t k, double largest, double basis_variance) {
  const auto d = c.size(0);
  const double trace = c.diagonal().sum().item<double>() + static_cast<double>(k) * largest;
  const double floor = rounding_floor(d, largest), bottom = std::max(floor, basis_variance);
  const double target = kClearGap * (kClearGap * bottom < largest ? bottom : floor);
  return {floor, target, target + static_cast<double>(d + 1) * kRoundoff64 * trace};
}

/// The matrix less `shift` on the diagonal, factored.
struct Shifted {
  std::unique_ptr<Factor> factor;  ///< null where the matrix itself has none
  double shift = 0;                ///< 0 where the matrix less sigma has no factor
};

Shifted factor_shifted(const Deflated& deflated, const at::Tensor& c, double sigma,
                       Backend& backend) {
  const at::Tensor work = at::empty_like(c, at::MemoryFormat::Contiguous);
  for (const double shift : {sigma, 0.0}) {
    deflated.assemble(work, shift);
    if (auto factor = backend.factor(work)) return {std::move(factor), shift};
  }
  return {};
}

/// |(D - sigma)^-1 Q C P|_F, which bounds the sine of the angle between P and the bottom eigenspace
/// where sigma >= lambda_k, and exceeds it hardly.
///
/// With X = Q U, U the bottom k eigenvectors: D X - X Lambda = -(Q C P)(P^T U). In the eigenbases
/// of D and Lambda each entry is divided by d_i - lambda_j, which d_i - sigma does not exceed.
/// @param leak  Q C P
double inverse_leak(const Factor& factor, const at::Tensor& leak) {
  double squares = 0;
  for (std::int64_t j = 0; j < leak.size(1); ++j)
    squares += factor.solve(leak.select(1, j)).square().sum().item<double>();
  return std::sqrt(squares);
}

}  // namespace

Certificate certify(const at::Tensor& c, const at::Tensor& basis, int max_steps, Backend& backend) {
  Certificate result;
  const auto d = c.size(0), k = basis.size(1);
  const auto product = [&](const at::Tensor& x) { return c.mv(x); };
  result.largest =
      largest_eigenvalue(product, basis.narrow(1, 0, 0), kLargestTolerance, kLargestSteps).value;
  if (!(result.largest > 0)) return result;

  const at::Tensor image = c.mm(basis), compression = basis.t().mm(image);
  // Q C P: what couples the predicted space to its complement.
  const at::Tensor leak = image - basis.mm(compression);
  if (k > 0) {
    result.basis_residual = spectral_norm(image) / result.largest;
    result.basis_variance = at::linalg_eigvalsh(compression.cpu()).max().item<double>();
  }
  result.factored = k == d;
  if (k == d) return result;  // there is no complement

  const Gap gap = gap_to_prove(c, k, result.largest, result.basis_variance);
  const Deflated deflated(c, basis, image, compression, /*mu=*/result.largest);
  const auto [factor, shift] = factor_shifted(deflated, c, gap.sigma, backend);
  result.factored = factor != nullptr;
  if (!factor) return result;

  const auto inverse = [&solver = *factor](const at::Tensor& x) { return solver.solve(x); };
  const RitzValue ritz = largest_eigenvalue(inverse, basis, kNextTolerance, max_steps);
  result.steps = ritz.steps;
  result.next = shift + 1 / ritz.value;
  result.next_error = ritz.residual < ritz.value
                          ? ritz.residual / ritz.value / (ritz.value - ritz.residual) + gap.floor
                          : result.next;
  if (shift > 0)
    result.proven = gap.target;
  else  // the matrix less sigma was indefinite: whatever Lanczos saw, an eigenvalue is below sigma
    result.next = std::min(result.next, gap.sigma);

  result.sine_bound = k == 0 ? 0.0 : 1.0;
  if (shift > result.basis_variance) {  // beside the bound, what rounding leaves of Q C P
    result.sine_bound = std::min(1.0, inverse_leak(*factor, leak) + gap.floor * ritz.value);
  } else if (const double separation = result.next - result.next_error - result.basis_variance;
             k > 0 && separation > 0) {
    result.sine_bound = std::min(1.0, spectral_norm(leak) / separation);
  }
  return result;
}

double smallest_singular_value(const at::Tensor& second_moment, std::int64_t count,
                               Backend& backend) {
  if (!at::isfinite(second_moment).all().item<bool>())
    return std::numeric_limits<double>::quiet_NaN();
  const Certificate c = certify(second_moment, second_moment.narrow(1, 0, 0), 100, backend);
  const double floor = rounding_floor(second_moment.size(0), c.largest);
  return c.factored && c.next > floor ? std::sqrt(static_cast<double>(count) * c.next) : 0.0;
}

}  // namespace deadray
