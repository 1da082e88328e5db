#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/arithmetic/host_device.h"

namespace deadray::kernels {

enum class ElementType { float32, float64, bfloat16 };

/// A bfloat16 as stored: the upper half of an FP32's bits.
struct BFloat16 {
  std::uint16_t bits;
};

/// Rows of an activation matrix, [n_tokens, hidden_size], where they lie (host or device). Nothing
/// is owned.
struct Rows {
  const void* data;
  ElementType type;
  std::int64_t n_tokens, hidden_size;
  std::int64_t row_stride;  ///< elements from one row to the next, >= hidden_size

  /// Rows first … first + count.
  Rows slice(std::int64_t first, std::int64_t count) const {
    const std::int64_t element = type == ElementType::float64   ? 8
                                 : type == ElementType::float32 ? 4
                                                                : 2;
    return {static_cast<const char*>(data) + first * row_stride * element, type, count, hidden_size,
            row_stride};
  }
};

/// Widening is exact for all three types.
DEADRAY_HOST_DEVICE double widen(double x) { return x; }
DEADRAY_HOST_DEVICE double widen(float x) { return static_cast<double>(x); }
DEADRAY_HOST_DEVICE double widen(BFloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

/// Calls f with a pointer of the rows' own type: const float*, const double* or const BFloat16*.
template <typename F>
void with_element_type(const Rows& rows, F&& f) {
  switch (rows.type) {
    case ElementType::float32:
      return f(static_cast<const float*>(rows.data));
    case ElementType::float64:
      return f(static_cast<const double*>(rows.data));
    case ElementType::bfloat16:
      return f(static_cast<const BFloat16*>(rows.data));
  }
}

}  // namespace deadray::kernels
