#pragma once

#include <cstdint>

#include "host/architecture/gguf/gguf_table.h"
#include "host/formats/tensor_info.h"

// What a converter did to the order of a tensor's elements, and how they are read as if it had not.
namespace deadray {

/// Attention's heads, which tell how the rows of its maps are grouped.
struct GgufHeads {
  std::int64_t queries = 0, keys = 0, width = 0;
};

/// Rows [first, first + count), of what was stored as several tensors side by side.
TensorInfo part_of(const TensorInfo& tensor, std::int64_t first, std::int64_t count);

/// The matrix, or vector, at `index` of a stack [n, ...].
TensorInfo layer_of(const TensorInfo& stack, std::int64_t index);

/// The rows that this order's tensor must have; 0: any number.
std::int64_t expected_rows(GgufOrder order, const GgufHeads& heads);

/// The tensor in the order that the converter found; its rows are as many as expected_rows().
TensorInfo undone(TensorInfo tensor, GgufOrder order, const GgufHeads& heads);

}  // namespace deadray
