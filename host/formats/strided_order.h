#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "host/formats/tensor_info.h"

// Tensors whose element (i, j, …) lies i strides[0] + j strides[1] + … elements behind the first.
namespace deadray {

/// Stored elements from the first to the last of such a tensor, both counted; 0 when it is empty.
/// @param shape, strides  not negative, of one length
/// @return nothing where the number, or that of the tensor's elements, is beyond 2^63 - 1
std::optional<std::int64_t> strided_span(std::span<const std::int64_t> shape,
                                         std::span<const std::int64_t> strides);

/// The order of such a tensor, whose strided_span() is known; null where its elements follow one
/// another in row-major order.
std::shared_ptr<const RowOrder> strided_rows(std::span<const std::int64_t> shape,
                                             std::span<const std::int64_t> strides);

}  // namespace deadray
