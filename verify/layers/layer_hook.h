#pragma once

#include <ATen/core/Tensor.h>

namespace deadray {

/// Sees the output of one linear map or norm as it is computed, and may put another tensor in its
/// place. Tiles come in order.
class LayerHook {
 public:
  virtual ~LayerHook() = default;
  /// @param input   [..., inputs]
  /// @param output  [..., outputs]
  /// @param weight  [outputs, inputs]; undefined for a norm
  virtual at::Tensor operator()(const at::Tensor& input, const at::Tensor& output,
                                const at::Tensor& weight) = 0;
};

}  // namespace deadray
