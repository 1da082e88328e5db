#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "host/architecture.h"

namespace deadray {

/// cos and sin of the rotary angles, [length, rotated_dims / 2] each, made in FP32 as the models themselves do, then cast to dtype.
struct RotaryTable {
  at::Tensor cosine, sine;
};
RotaryTable rotary_table(const Rope& rope, std::int64_t length, at::ScalarType dtype);

/// Turns the first rotated_dims of each head of x [sequences, heads, length, head_dim], pairs (i, i + rotated_dims/2). The rest passes.
at::Tensor rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace deadray
