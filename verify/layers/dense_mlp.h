#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "host/architecture/layer_specs.h"
#include "verify/layers/linear.h"

namespace deadray {

/// activation(in(h)), gated or not, through `out`.
class DenseMlp {
 public:
  DenseMlp(const Weights& weights, const MlpSpec& spec, std::int64_t block, at::ScalarType dtype);
  /// @param h  [..., d]
  at::Tensor operator()(const at::Tensor& h) const;

 private:
  Activation activation_;
  bool gated_;
  Linear in_, out_;
};

}  // namespace deadray
