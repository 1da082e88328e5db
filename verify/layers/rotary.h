#pragma once

#include <ATen/ATen.h>

#include "host/architecture/layer_specs.h"

namespace deadray {

/// What turns the first dimensions of a head: y = x cos + partner(x) sin, where the sign of the
/// sine belongs to the pair's member.
struct RotaryTable {
  at::Tensor cosine,
      sine;  ///< [length, axes * rotated_dims], made in FP32 as the models themselves do, then cast
  Rope::Pairing pairing = Rope::Pairing::half_split;
  std::int64_t axes = 1;
};

/// @param coordinates  [length, axes] FP32: where each token stands
RotaryTable rotary_table(const Rope& rope, const at::Tensor& coordinates, at::ScalarType dtype);

/// Turns the first axes * rotated_dims of each head of x [sequences, heads, length, head_dim]. The
/// rest passes.
at::Tensor rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace deadray
