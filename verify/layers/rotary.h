#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "host/architecture/layer_specs.h"

namespace deadray {

/// What turns the first dimensions of a head: y = x cos + partner(x) sin. The two members of a pair
/// have sines of opposite sign.
struct RotaryTable {
  /// [..., length, axes * rotated_dims], made in FP32 as the models themselves do, then cast.
  at::Tensor cosine, sine;
  Rope::Pairing pairing = Rope::Pairing::half_split;
  std::int64_t axes = 1;
};

/// @param coordinates  [..., length, axes] FP32: where each token stands
RotaryTable rotary_table(const Rope& rope, const at::Tensor& coordinates, at::ScalarType dtype);

/// Turns the first axes * rotated_dims of each head of x [sequences, heads, length, head_dim] and
/// leaves the rest as it is.
/// @param table  [1 or sequences, 1, length, ...]
at::Tensor rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace deadray
