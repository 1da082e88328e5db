#pragma once

#include <cstring>
#include <vector>

#include "tests/gpu/device.h"
#include "tests/kernels/operations/norm_reference.h"

namespace deadray::testing {

/// Test rows and a test norm in the device's memory.
class DeviceRows {
 public:
  explicit DeviceRows(const kernels::TestRows& rows) : view_(rows.view()), bytes_(bytes_of(rows)) {
    view_.data = bytes_.data();
  }
  const kernels::Rows& view() const { return view_; }

 private:
  static std::vector<unsigned char> bytes_of(const kernels::TestRows& rows) {
    const std::size_t element = rows.type == kernels::ElementType::float64   ? 8
                                : rows.type == kernels::ElementType::float32 ? 4
                                                                             : 2;
    std::vector<unsigned char> bytes(static_cast<std::size_t>(rows.n_tokens * rows.row_stride) *
                                     element);
    if (!bytes.empty()) std::memcpy(bytes.data(), rows.view().data, bytes.size());
    return bytes;
  }
  kernels::Rows view_;
  DeviceArray<unsigned char> bytes_;
};

class DeviceNorm {
 public:
  explicit DeviceNorm(const kernels::TestNorm& norm)
      : type_(norm.type),
        eps_(norm.eps),
        gamma_(norm.gamma),
        beta_(norm.beta),
        shift_(norm.shift) {}
  kernels::NormArguments arguments() {
    return {type_, gamma_.data(), beta_.data(), shift_.data(), eps_};
  }

 private:
  kernels::NormType type_;
  double eps_;
  DeviceArray<double> gamma_, beta_, shift_;
};

struct Shape {
  std::int64_t n_tokens, hidden_size;
};
/// Widths and heights where tiles, warps and blocks end evenly and where they do not.
inline std::vector<Shape> shapes() {
  if (small_shapes()) return {{1, 1}, {3, 7}, {1, 64}, {65, 64}, {19, 257}, {5, 768}};
  return {{1, 1},     {3, 7},      {1, 64},      {65, 64},   {256, 257},   {257, 257},
          {767, 768}, {1025, 768}, {4095, 4096}, {33, 4096}, {8192, 8192}, {3, 8192}};
}

inline std::string name_of(kernels::ElementType type) {
  return type == kernels::ElementType::float32   ? "float32"
         : type == kernels::ElementType::float64 ? "float64"
                                                 : "bfloat16";
}

}  // namespace deadray::testing
