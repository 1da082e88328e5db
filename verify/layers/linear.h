#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "host/architecture/layer_specs.h"
#include "verify/layers/parameter.h"
#include "verify/weights/weights.h"

namespace deadray {

/// A linear map ready to apply: y = x weight^T + bias, with the spec's parts side by side.
struct Linear {
  /// [outputs, inputs]; a transposed view where the checkpoint stores [inputs, outputs]. Of a
  /// convolution too, whose other dimensions count as one.
  Parameter weight;
  /// [outputs], or undefined.
  Parameter bias;

  /// A part, outputs [first, first + count), that somebody watches.
  struct Watched {
    std::int64_t first, count;
    LayerHook* hook;
  };
  std::vector<Watched> watched{};

  /// @param x  [..., inputs]   @return [..., outputs]
  at::Tensor operator()(const at::Tensor& x) const;
};

Linear load_linear(const Weights& weights, const LinearSpec& spec, std::int64_t block,
                   at::ScalarType dtype);

}  // namespace deadray
