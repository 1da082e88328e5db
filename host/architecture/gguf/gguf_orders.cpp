#include "host/architecture/gguf/gguf_orders.h"

#include <functional>
#include <memory>
#include <utility>

namespace deadray {
namespace {

/// Rows taken from elsewhere: row r of the result is stored as row from(r).
void reorder_rows(TensorInfo& tensor, std::function<std::int64_t(std::int64_t)> from) {
  const std::int64_t length = tensor.elements() / tensor.shape[0];
  tensor.rows = std::make_shared<RowOrder>(
      RowOrder{length, 1,
               [length, from = std::move(from)](std::int64_t row) { return from(row) * length; }});
}

/// Of each head, dimension i of the first half and i of the second were made neighbours.
void split_halves(TensorInfo& tensor, std::int64_t width) {
  reorder_rows(tensor, [width](std::int64_t row) {
    const std::int64_t inside = row % width, half = width / 2;
    return row - inside + (inside % half) * 2 + inside / half;
  });
}

/// For each key head its queries, its key, its value; stored as all queries, all keys, all values.
void group_by_key_head(TensorInfo& tensor, const GgufHeads& heads) {
  const std::int64_t shared = heads.queries / heads.keys;
  reorder_rows(tensor, [heads, shared](std::int64_t row) {
    const std::int64_t inside = row % heads.width, head = row / heads.width;
    const std::int64_t group = head / (shared + 2), member = head % (shared + 2);
    const std::int64_t stored = member < shared    ? group * shared + member
                                : member == shared ? heads.queries + group
                                                   : heads.queries + heads.keys + group;
    return stored * heads.width + inside;
  });
}

void transpose(TensorInfo& tensor) {
  if (tensor.shape.size() != 2) return;  // a bias
  std::swap(tensor.shape[0], tensor.shape[1]);
  tensor.rows = std::make_shared<RowOrder>(
      RowOrder{tensor.shape[1], tensor.shape[0], [](std::int64_t row) { return row; }});
}

}  // namespace

TensorInfo part_of(const TensorInfo& tensor, std::int64_t first, std::int64_t count) {
  TensorInfo part = tensor;
  const std::uint64_t row_bytes = tensor.bytes / static_cast<std::uint64_t>(tensor.shape[0]);
  part.shape[0] = count;
  part.offset += static_cast<std::uint64_t>(first) * row_bytes;
  part.bytes = static_cast<std::uint64_t>(count) * row_bytes;
  return part;
}

TensorInfo layer_of(const TensorInfo& stack, std::int64_t index) {
  TensorInfo layer = part_of(stack, index, 1);
  layer.shape.erase(layer.shape.begin());
  return layer;
}

std::int64_t expected_rows(GgufOrder order, const GgufHeads& heads) {
  switch (order) {
    case GgufOrder::rotary_queries:
      return heads.queries * heads.width;
    case GgufOrder::rotary_keys:
      return heads.keys * heads.width;
    case GgufOrder::grouped:
      return (heads.queries + 2 * heads.keys) * heads.width;
    case GgufOrder::as_is:
    case GgufOrder::transposed:
      break;
  }
  return 0;
}

TensorInfo undone(TensorInfo tensor, GgufOrder order, const GgufHeads& heads) {
  switch (order) {
    case GgufOrder::rotary_queries:
    case GgufOrder::rotary_keys:
      split_halves(tensor, heads.width);
      break;
    case GgufOrder::grouped:
      group_by_key_head(tensor, heads);
      break;
    case GgufOrder::transposed:
      transpose(tensor);
      break;
    case GgufOrder::as_is:
      break;
  }
  return tensor;
}

}  // namespace deadray
