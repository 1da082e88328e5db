#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "host/base/statistics.h"  // median(), beside least() and largest()

namespace deadray {

inline at::TensorOptions fp64() { return at::TensorOptions().dtype(at::kDouble); }

/// [n] FP64 on the CPU, a copy.
inline at::Tensor to_tensor(const std::vector<double>& values) {
  return at::tensor(at::ArrayRef<double>(values), fp64());
}

/// Of one value at least. NaN where one is: std::max_element passes over it unless it comes first.
inline double largest(const std::vector<double>& values) {
  return to_tensor(values).max().item<double>();
}
inline double least(const std::vector<double>& values) {
  return to_tensor(values).min().item<double>();
}

}  // namespace deadray
