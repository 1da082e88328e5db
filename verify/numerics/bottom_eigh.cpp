#include "verify/numerics/bottom_eigh.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "host/base/error.h"
#include "verify/base/tensors.h"
#include "verify/base/thresholds.h"

namespace deadray {
namespace {

// Columns beside those asked for: they take up the eigenvectors next above, which converge slowest.
constexpr std::int64_t kExtra = 16;
constexpr std::int64_t kSmallPart = 8;                // a block beyond d / 8 gains nothing
constexpr int kMaxIterations = 8;                     // with a gap two or three suffice
constexpr double kNegligible = 1e-6;                  // a scaled error far below any driver's
constexpr std::uint64_t kStartSeed = 0x626f74746f6d;  // any: a Gaussian start misses no eigenvector

/// Solves with (C - sigma), sigma just below the smallest eigenvalue; nothing where rounding made
/// it indefinite.
class ShiftedInverse {
 public:
  static std::optional<ShiftedInverse> make(const at::Tensor& c, double smallest) {
    // A Cholesky factorisation goes through where the smallest eigenvalue is beyond (d + 1) u trace
    // (Higham, theorem 10.3); the eigenvalue itself is known to as much.
    const double margin =
        4 * static_cast<double>(c.size(0) + 1) * kRoundoff64 * c.diagonal().sum().item<double>();
    const at::Tensor work = c.clone(at::MemoryFormat::Contiguous);
    work.diagonal().sub_(smallest - margin);
    at::Tensor lower = work.t();  // work is symmetric: this is LAPACK's order without a copy
    at::Tensor info = at::empty({}, at::TensorOptions().dtype(at::kInt));
    at::linalg_cholesky_ex_out(lower, info, lower, /*upper=*/false, /*check_errors=*/false);
    if (info.item<int>() != 0) return std::nullopt;
    return ShiftedInverse(lower);
  }
  at::Tensor apply(const at::Tensor& x) const {
    return at::linalg_solve_triangular(
        lower_.t(), at::linalg_solve_triangular(lower_, x, /*upper=*/false), /*upper=*/true);
  }

 private:
  explicit ShiftedInverse(at::Tensor lower) : lower_(std::move(lower)) {}
  at::Tensor lower_;
};

Eigendecomposition narrowed(Eigendecomposition full, std::int64_t count) {
  full.vectors = full.vectors.narrow(1, 0, count).clone();
  return full;
}

/// Eigenvalues of a symmetric matrix agree with its trace, its Frobenius norm and the Ritz values,
/// up to the rounding of a backward stable driver.
void expect_consistent(const at::Tensor& c, const at::Tensor& values, const at::Tensor& ritz,
                       double allowed) {
  const double bottom = (ritz - values.narrow(0, 0, ritz.size(0))).abs().max().item<double>();
  const double trace = std::abs((values.sum() - c.diagonal().sum()).item<double>());
  const double frobenius = std::abs((values.norm() - c.norm()).item<double>());
  const double worst = std::max({bottom, trace / static_cast<double>(c.size(0)), frobenius});
  if (!(worst <= allowed))
    throw InternalError(fmt::format(
        "LAPACK dsyevd on a {0} x {0} matrix: its eigenvalues are off by {1:.3g}, expected at most "
        "{2:.3g}: by inverse iteration {3:.3g}, trace {4:.3g}, Frobenius norm {5:.3g}: the driver "
        "is "
        "broken",
        c.size(0), worst, allowed, bottom, trace, frobenius));
}

}  // namespace

Eigendecomposition bottom_eigh(const at::Tensor& c, std::int64_t count) {
  const std::int64_t d = c.size(0), block = count + kExtra;
  const double unit = static_cast<double>(d) * std::numeric_limits<double>::epsilon(),
               size = one_norm(c);
  if (kSmallPart * block > d || !(size > 0)) return narrowed(eigh(c), count);
  Eigendecomposition result;
  result.values = at::linalg_eigvalsh(c);
  const auto inverse = ShiftedInverse::make(c, result.values[0].item<double>());
  if (!inverse) return narrowed(eigh(c), count);

  at::Tensor x =
      at::randn({d, block}, at::make_generator<at::CPUGeneratorImpl>(kStartSeed), fp64());
  double before = std::numeric_limits<double>::infinity();
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    x = std::get<0>(at::linalg_qr(inverse->apply(x)));
    const at::Tensor image = c.mm(x);
    const auto [ritz, turn] = at::linalg_eigh(x.t().mm(image));
    x = x.mm(turn);
    const at::Tensor values = ritz.narrow(0, 0, count), vectors = x.narrow(1, 0, count);
    result.residual = one_norm(image.mm(turn.narrow(1, 0, count)) - vectors * values) / size / unit;
    // The residual falls by the gap's ratio each time until rounding stops it. Only then are the
    // vectors as good as they get. Where a row of C is 0, nothing rounds: it falls on and on.
    const bool stays = !(result.residual < before / 2) || result.residual < kNegligible;
    if (result.residual <= kLargestScaledError && stays) {
      expect_consistent(c, result.values, values, kLargestScaledError * unit * size);
      result.vectors = vectors.clone();
      result.orthogonality = one_norm(vectors.t().mm(vectors) - at::eye(count, fp64())) / unit;
      result.driver = fmt::format("LAPACK dsyevd for values, {} inverse iterations for {} vectors",
                                  iteration + 1, count);
      return expect_accurate(std::move(result));
    }
    before = result.residual;
  }
  return narrowed(eigh(c), count);
}

}  // namespace deadray
