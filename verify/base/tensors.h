#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace deadray {

inline at::TensorOptions fp64() { return at::TensorOptions().dtype(at::kDouble); }

/// [n] FP64 on the CPU, a copy.
inline at::Tensor to_tensor(const std::vector<double>& values) {
  return at::tensor(at::ArrayRef<double>(values), fp64());
}

// Of one value at least. The result is NaN where a value is: std::max_element would pass over a NaN
// that does not come first.
inline double largest(const std::vector<double>& values) {
  return to_tensor(values).max().item<double>();
}
inline double least(const std::vector<double>& values) {
  return to_tensor(values).min().item<double>();
}
/// The lower of the two in the middle where the number of values is even.
inline double median(const std::vector<double>& values) {
  return to_tensor(values).median().item<double>();
}

}  // namespace deadray
