#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace deadray {

/// One tile of a norm: input and output [n, d] in the model's dtype.
struct NormTile {
  std::string site;
  at::Tensor input, output;
};

}  // namespace deadray
