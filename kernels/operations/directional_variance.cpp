#include "kernels/operations/directional_variance.h"

#include <algorithm>
#include <vector>

#include "kernels/operations/norm_recompute.h"
#include "kernels/operations/project.h"

namespace deadray::kernels {
namespace {

/// Of normalised rows: they stay in the second-level cache.
constexpr std::int64_t kTileBytes = 256 * 1024;

RunningMoments moments_of(const double* values, std::int64_t count) {
  RunningMoments moments;
  moments.count = static_cast<double>(count);
  for (std::int64_t t = 0; t < count; ++t) moments.mean += values[t] / moments.count;
  for (std::int64_t t = 0; t < count; ++t)
    moments.squares += (values[t] - moments.mean) * (values[t] - moments.mean);
  return moments;
}

}  // namespace

void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions,
                          std::int64_t n_directions, RunningMoments* moments) {
  const std::int64_t row_bytes = 8 * rows.hidden_size,
                     tile_rows =
                         std::clamp<std::int64_t>(kTileBytes / row_bytes / kRowMultiple, 1, 64) *
                         kRowMultiple;
  std::vector<double> tile(static_cast<std::size_t>(tile_rows * rows.hidden_size)),
      projections(static_cast<std::size_t>(tile_rows * n_directions));
  for (std::int64_t t = 0; t < rows.n_tokens; t += tile_rows) {
    const std::int64_t n_rows = std::min(tile_rows, rows.n_tokens - t),
                       padded = round_to_row_multiple(n_rows);
    norm_recompute(rows.slice(t, n_rows), norm, tile.data());
    project(tile.data(), padded, directions, n_directions, rows.hidden_size, projections.data(),
            padded);
    for (std::int64_t k = 0; k < n_directions; ++k)
      moments[k].merge(moments_of(projections.data() + k * padded, n_rows));
  }
}

}  // namespace deadray::kernels
