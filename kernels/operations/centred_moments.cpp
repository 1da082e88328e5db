#include "kernels/operations/centred_moments.h"

#include <algorithm>
#include <vector>

#include "kernels/operations/norm_recompute.h"

namespace deadray::kernels {
namespace {

/// Rows whose products are added to a column of the Gram while it is in the first-level cache.
constexpr std::int64_t kTile = 32;

/// Column by column of the lower triangle, row after row of the tile.
DEADRAY_CLONES void add_products(const double* tile, std::int64_t n_rows, std::int64_t n,
                                 double* gram) {
  for (std::int64_t j = 0; j < n; ++j) {
    double* const column = gram + j * n;
    for (std::int64_t t = 0; t < n_rows; ++t) {
      const double* const h = tile + t * n;
      for (std::int64_t i = j; i < n; ++i) column[i] += h[i] * h[j];
    }
  }
}

}  // namespace

void add_moments(const Rows& rows, const NormArguments& norm, double* sums, double* gram) {
  const std::int64_t n = rows.hidden_size;
  std::vector<double> tile(static_cast<std::size_t>(kTile * n));
  for (std::int64_t first = 0; first < rows.n_tokens; first += kTile) {
    const std::int64_t n_rows = std::min(kTile, rows.n_tokens - first);
    norm_recompute(rows.slice(first, n_rows), norm, tile.data());
    for (std::int64_t t = 0; t < n_rows; ++t) {
      for (std::int64_t i = 0; i < n; ++i) sums[i] += tile[static_cast<std::size_t>(t * n + i)];
    }
    add_products(tile.data(), n_rows, n, gram);
  }
}

void finish_moments(std::int64_t n_tokens, std::int64_t hidden_size, bool centred,
                    const double* sums, double* mean, double* gram) {
  const auto count = static_cast<double>(std::max<std::int64_t>(n_tokens, 1));
  for (std::int64_t j = 0; j < hidden_size; ++j) {
    mean[j] = sums[j] / count;
    for (std::int64_t i = j; i < hidden_size; ++i) {
      const double entry =
          centred ? covariance_entry(gram[j * hidden_size + i], sums[i], sums[j], count)
                  : gram[j * hidden_size + i] / count;
      gram[j * hidden_size + i] = gram[i * hidden_size + j] = entry;
    }
  }
}

}  // namespace deadray::kernels
