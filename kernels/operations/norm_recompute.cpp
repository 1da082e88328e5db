#include "kernels/operations/norm_recompute.h"

#include <algorithm>
#include <vector>

#include "kernels/arithmetic/lanes.h"

namespace deadray::kernels {
namespace {

/// Sums of x - centre and of its square over one row.
struct RowSums {
  double sum, squares;
};
template <typename T>
DEADRAY_HOST_DEVICE RowSums row_sums(const T* x, std::int64_t n, double centre) {
  Lanes sums[2] = {}, squares[2] = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Lanes low = load_lanes(x + i) - centre, high = load_lanes(x + i + kLanes) - centre;
    sums[0] += low;
    sums[1] += high;
    squares[0] += low * low;
    squares[1] += high * high;
  }
  RowSums total = {sum_of(sums[0] + sums[1]), sum_of(squares[0] + squares[1])};
  for (; i < n; ++i) {
    const double d = widen(x[i]) - centre;
    total.sum += d;
    total.squares += d * d;
  }
  return total;
}

template <typename T>
DEADRAY_HOST_DEVICE RowStatistics row_statistics(const T* x, std::int64_t n, NormType type,
                                                 double eps) {
  if (type == NormType::identity) return identity_statistics();
  if (type == NormType::rmsnorm) return rmsnorm_statistics(row_sums(x, n, 0.0).squares, n, eps);
  const double mean = row_sums(x, n, 0.0).sum / static_cast<double>(n);
  const RowSums centred = row_sums(x, n, mean);
  return layernorm_statistics(mean, centred.sum, centred.squares, n, eps);
}

template <typename T>
DEADRAY_HOST_DEVICE void recompute(const T* data, const Rows& rows, const NormArguments& norm,
                                   const double* gamma, const double* offset, double* out) {
  for (std::int64_t t = 0; t < rows.n_tokens;
       ++t, data += rows.row_stride, out += rows.hidden_size) {
    const RowStatistics row = row_statistics(data, rows.hidden_size, norm.type, norm.eps);
    for (std::int64_t i = 0; i < rows.hidden_size; ++i)
      out[i] = gamma[i] * normalised(widen(data[i]), row) + offset[i];
  }
}

// One plain function a type: GCC clones no templates.
DEADRAY_CLONES void recompute_float32(const Rows& rows, const NormArguments& norm,
                                      const double* gamma, const double* offset, double* out) {
  recompute(static_cast<const float*>(rows.data), rows, norm, gamma, offset, out);
}
DEADRAY_CLONES void recompute_float64(const Rows& rows, const NormArguments& norm,
                                      const double* gamma, const double* offset, double* out) {
  recompute(static_cast<const double*>(rows.data), rows, norm, gamma, offset, out);
}
DEADRAY_CLONES void recompute_bfloat16(const Rows& rows, const NormArguments& norm,
                                       const double* gamma, const double* offset, double* out) {
  recompute(static_cast<const BFloat16*>(rows.data), rows, norm, gamma, offset, out);
}

}  // namespace

void norm_recompute(const Rows& rows, const NormArguments& norm, double* out) {
  const auto n = static_cast<std::size_t>(rows.hidden_size);
  std::vector<double> parameters(2 * n);
  double *gamma = parameters.data(), *offset = gamma + n;
  for (std::int64_t i = 0; i < rows.hidden_size; ++i) {
    gamma[i] = norm_gamma(norm, i);
    offset[i] = norm_offset(norm, i);
  }
  switch (rows.type) {
    case ElementType::float32:
      return recompute_float32(rows, norm, gamma, offset, out);
    case ElementType::float64:
      return recompute_float64(rows, norm, gamma, offset, out);
    case ElementType::bfloat16:
      return recompute_bfloat16(rows, norm, gamma, offset, out);
  }
}

void norm_recompute(const Rows& rows, const NormArguments& norm, float* out) {
  constexpr std::int64_t kTile = 16;
  std::vector<double> tile(static_cast<std::size_t>(kTile * rows.hidden_size));
  for (std::int64_t t = 0; t < rows.n_tokens; t += kTile) {
    const std::int64_t n_rows = std::min(kTile, rows.n_tokens - t);
    norm_recompute(rows.slice(t, n_rows), norm, tile.data());
    out = std::transform(tile.begin(), tile.begin() + n_rows * rows.hidden_size, out,
                         [](double h) { return static_cast<float>(h); });
  }
}

}  // namespace deadray::kernels
