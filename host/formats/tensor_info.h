#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/dtype.h"

namespace deadray {

/// Where a tensor's elements lie when they do not follow one another: a slice, a transposition, a
/// strided view, rows that a converter put into another order. The tensor is taken as rows of
/// `length` elements; all numbers count stored elements from TensorInfo::offset.
struct RowOrder {
  std::int64_t length = 1;
  std::int64_t step = 1;  ///< from one element of a row to the next; 0: one element for all
  std::function<std::int64_t(std::int64_t row)> first;
};

/// Values stored in blocks that share scales (GGUF's Q4_K and the like). Such a tensor's dtype is
/// f32, which decoding gives; every row is a whole number of blocks.
struct BlockCode {
  std::string_view name;
  std::int64_t elements = 0;  ///< of a block
  std::size_t bytes = 0;      ///< of a block
  /// @param values  blocks * elements
  void (*decode)(const std::byte* stored, std::int64_t blocks, float* values) = nullptr;
};

/// A tensor as its file's header describes it; its values stay on disk until read.
struct TensorInfo {
  std::string name;
  DType dtype = DType::unknown;
  std::string stored_dtype;              ///< the header's own spelling, also when dtype is unknown
  std::vector<std::int64_t> shape;       ///< row-major; {} is a scalar
  std::size_t file = 0;                  ///< index into Checkpoint::files()
  std::uint64_t offset = 0;              ///< first byte, counted from the start of the file
  std::uint64_t bytes = 0;               ///< stored, from offset on; all that its elements lie in
  std::shared_ptr<const RowOrder> rows;  ///< null: elements follow one another in row-major order
  const BlockCode* code = nullptr;       ///< null: elements are stored as dtype

  std::int64_t elements() const noexcept;
};

}  // namespace deadray
