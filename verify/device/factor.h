#pragma once

#include <ATen/core/Tensor.h>

namespace deadray {

/// A symmetric positive definite matrix A [d, d], factored by a backend.
class Factor {
 public:
  virtual ~Factor() = default;
  /// x of A x = right; both [d] FP64 on the backend's device.
  virtual at::Tensor solve(const at::Tensor& right) const = 0;
};

}  // namespace deadray
