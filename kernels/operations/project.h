#pragma once

#include <cstdint>

namespace deadray::kernels {

constexpr std::int64_t kRowMultiple = 4;
constexpr std::int64_t round_to_row_multiple(std::int64_t n_rows) {
  return (n_rows + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}

/// out[k * out_stride + t] = <directions[k, :], rows[t, :]>, FP64, both contiguous. A building
/// block of the CPU counterparts.
/// @param n_rows  a multiple of kRowMultiple; out holds as many
void project(const double* rows, std::int64_t n_rows, const double* directions,
             std::int64_t n_directions, std::int64_t hidden_size, double* out,
             std::int64_t out_stride);

}  // namespace deadray::kernels
