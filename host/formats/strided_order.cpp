#include "host/formats/strided_order.h"

#include <algorithm>
#include <vector>

namespace deadray {
namespace {

struct Dimension {
  std::int64_t size, stride;
};

/// The dimensions of more than one element, neighbours joined where one continues the other.
std::vector<Dimension> joined(std::span<const std::int64_t> shape,
                              std::span<const std::int64_t> strides) {
  std::vector<Dimension> dimensions;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    std::int64_t run = 0;
    if (!dimensions.empty() && !__builtin_mul_overflow(shape[i], strides[i], &run) &&
        dimensions.back().stride == run)
      dimensions.back() = {dimensions.back().size * shape[i], strides[i]};
    else
      dimensions.push_back({shape[i], strides[i]});
  }
  return dimensions;
}

}  // namespace

std::optional<std::int64_t> strided_span(std::span<const std::int64_t> shape,
                                         std::span<const std::int64_t> strides) {
  std::int64_t elements = 1, last = 0;
  for (const std::int64_t size : shape)
    if (__builtin_mul_overflow(elements, size, &elements)) return std::nullopt;
  if (elements == 0) return 0;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    std::int64_t reach = 0;
    if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return std::nullopt;
  }
  std::int64_t span = 0;
  if (__builtin_add_overflow(last, 1, &span)) return std::nullopt;
  return span;
}

std::shared_ptr<const RowOrder> strided_rows(std::span<const std::int64_t> shape,
                                             std::span<const std::int64_t> strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return nullptr;
  std::vector<Dimension> outer = joined(shape, strides);
  if (outer.empty()) return nullptr;
  const Dimension row = outer.back();
  outer.pop_back();
  if (outer.empty() && row.stride == 1) return nullptr;
  auto order = std::make_shared<RowOrder>();
  order->length = row.size;
  order->step = row.stride;
  order->first = [outer = std::move(outer)](std::int64_t index) {
    std::int64_t first = 0;
    for (std::size_t i = outer.size(); i-- > 0; index /= outer[i].size)
      first += index % outer[i].size * outer[i].stride;
    return first;
  };
  return order;
}

}  // namespace deadray
