#pragma once

#include <ATen/core/Tensor.h>

#include "host/architecture/layer_specs.h"

namespace deadray {

at::Tensor activate(Activation activation, const at::Tensor& x);

/// @param cap  c: x becomes c tanh(x / c); 0: x
at::Tensor soft_cap(const at::Tensor& x, double cap);

}  // namespace deadray
