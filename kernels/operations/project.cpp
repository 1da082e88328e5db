#include "kernels/operations/project.h"

#include "kernels/arithmetic/lanes.h"

namespace deadray::kernels {
namespace {

/// With kRowMultiple rows the block of dot products whose sums stay in registers.
constexpr int kDirections = 2;

/// out[k][r] = <directions[k, :], rows[r, :]> for kRowMultiple rows and `n` directions, n <=
/// kDirections.
template <int n>
DEADRAY_HOST_DEVICE void dot_block(const double* rows, const double* directions,
                                   std::int64_t hidden_size, double* out, std::int64_t out_stride) {
  Lanes sums[n][kRowMultiple] = {};
  double tails[n][kRowMultiple] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= hidden_size; i += kLanes) {
    for (int k = 0; k < n; ++k) {
      const Lanes v = load_lanes(directions + k * hidden_size + i);
      for (int r = 0; r < kRowMultiple; ++r)
        sums[k][r] += v * load_lanes(rows + r * hidden_size + i);
    }
  }
  for (; i < hidden_size; ++i) {
    for (int k = 0; k < n; ++k) {
      for (int r = 0; r < kRowMultiple; ++r)
        tails[k][r] += directions[k * hidden_size + i] * rows[r * hidden_size + i];
    }
  }
  for (int k = 0; k < n; ++k) {
    for (int r = 0; r < kRowMultiple; ++r)
      out[k * out_stride + r] = sum_of(sums[k][r]) + tails[k][r];
  }
}

}  // namespace

DEADRAY_CLONES void project(const double* rows, std::int64_t n_rows, const double* directions,
                            std::int64_t n_directions, std::int64_t hidden_size, double* out,
                            std::int64_t out_stride) {
  for (std::int64_t k = 0; k < n_directions; k += kDirections) {
    for (std::int64_t t = 0; t < n_rows; t += kRowMultiple) {
      const double *tile = rows + t * hidden_size, *v = directions + k * hidden_size;
      double* block = out + k * out_stride + t;
      if (k + kDirections <= n_directions) {
        dot_block<kDirections>(tile, v, hidden_size, block, out_stride);
      } else {
        dot_block<1>(tile, v, hidden_size, block, out_stride);
      }
    }
  }
}

}  // namespace deadray::kernels
