#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace deadray {

inline at::TensorOptions fp64() { return at::TensorOptions().dtype(at::kDouble); }

/// [n] FP64 on the CPU, a copy.
inline at::Tensor to_tensor(const std::vector<double>& values) { return at::tensor(at::ArrayRef<double>(values), fp64()); }

}  // namespace deadray
