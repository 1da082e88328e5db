#include "kernels/directional_variance.h"

#include <algorithm>
#include <vector>

#include "kernels/lanes.h"
#include "kernels/norm_recompute.h"

namespace deadray::kernels {
namespace {

constexpr int kRows = 4, kDirections = 2;        // of one block of dot products, whose sums stay in registers
constexpr std::int64_t kTileBytes = 256 * 1024;  // of normalised rows: they stay in the second-level cache

/// out[k][r] = <directions[k, :], rows[r, :]> for kRows rows and `n` directions, n <= kDirections.
template <int n>
DEADRAY_HOST_DEVICE void dot_block(const double* rows, const double* directions, std::int64_t hidden_size, double* out,
                                   std::int64_t out_stride) {
  Lanes sums[n][kRows] = {};
  double tails[n][kRows] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= hidden_size; i += kLanes) {
    for (int k = 0; k < n; ++k) {
      const Lanes v = load_lanes(directions + k * hidden_size + i);
      for (int r = 0; r < kRows; ++r) sums[k][r] += v * load_lanes(rows + r * hidden_size + i);
    }
  }
  for (; i < hidden_size; ++i) {
    for (int k = 0; k < n; ++k) {
      for (int r = 0; r < kRows; ++r) tails[k][r] += directions[k * hidden_size + i] * rows[r * hidden_size + i];
    }
  }
  for (int k = 0; k < n; ++k) {
    for (int r = 0; r < kRows; ++r) out[k * out_stride + r] = sum_of(sums[k][r]) + tails[k][r];
  }
}

/// projections[k, t] = <directions[k, :], rows[t, :]>; n_rows is a multiple of kRows.
DEADRAY_CLONES void project(const double* rows, std::int64_t n_rows, const double* directions, std::int64_t n_directions,
                            std::int64_t hidden_size, double* projections) {
  for (std::int64_t k = 0; k < n_directions; k += kDirections) {
    for (std::int64_t t = 0; t < n_rows; t += kRows) {
      const double *tile = rows + t * hidden_size, *v = directions + k * hidden_size;
      double* out = projections + k * n_rows + t;
      if (k + kDirections <= n_directions) {
        dot_block<kDirections>(tile, v, hidden_size, out, n_rows);
      } else {
        dot_block<1>(tile, v, hidden_size, out, n_rows);
      }
    }
  }
}

RunningMoments moments_of(const double* values, std::int64_t count) {
  RunningMoments moments;
  moments.count = static_cast<double>(count);
  for (std::int64_t t = 0; t < count; ++t) moments.mean += values[t] / moments.count;
  for (std::int64_t t = 0; t < count; ++t) moments.squares += (values[t] - moments.mean) * (values[t] - moments.mean);
  return moments;
}

}  // namespace

void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions, std::int64_t n_directions,
                          RunningMoments* moments) {
  const std::int64_t row_bytes = 8 * rows.hidden_size, tile_rows = std::clamp<std::int64_t>(kTileBytes / row_bytes / kRows, 1, 64) * kRows;
  std::vector<double> tile(static_cast<std::size_t>(tile_rows * rows.hidden_size)),
      projections(static_cast<std::size_t>(tile_rows * n_directions));
  for (std::int64_t t = 0; t < rows.n_tokens; t += tile_rows) {
    const std::int64_t n_rows = std::min(tile_rows, rows.n_tokens - t), padded = (n_rows + kRows - 1) / kRows * kRows;
    norm_recompute(rows.slice(t, n_rows), norm, tile.data());
    project(tile.data(), padded, directions, n_directions, rows.hidden_size, projections.data());
    for (std::int64_t k = 0; k < n_directions; ++k) moments[k].merge(moments_of(projections.data() + k * padded, n_rows));
  }
}

}  // namespace deadray::kernels
