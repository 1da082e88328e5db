#include "host/formats/stored_elements.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace deadray {
namespace {

/// Decoded at once, so that a large tensor takes no second copy of itself.
constexpr std::int64_t kBlocksAtOnce = 4096;
/// A span of more stored elements than this for each one that is wanted is read element by element.
constexpr std::int64_t kWidestSpan = 64;

/// Stored elements [first, first + count), which follow one another.
void read_run(const InputFile& file, const TensorInfo& tensor, std::int64_t first,
              std::int64_t count, std::byte* destination) {
  if (tensor.code == nullptr) {
    const std::uint64_t size = size_of(tensor.dtype);
    file.read(tensor.offset + static_cast<std::uint64_t>(first) * size,
              static_cast<std::uint64_t>(count) * size, destination);
    return;
  }
  const BlockCode& code = *tensor.code;
  const std::int64_t end = first + count;
  const std::int64_t last_block = (end + code.elements - 1) / code.elements;
  std::vector<std::byte> stored;
  std::vector<float> values;
  for (std::int64_t block = first / code.elements; block < last_block; block += kBlocksAtOnce) {
    const std::int64_t blocks = std::min(kBlocksAtOnce, last_block - block);
    stored.resize(static_cast<std::size_t>(blocks) * code.bytes);
    values.resize(static_cast<std::size_t>(blocks * code.elements));
    file.read(tensor.offset + static_cast<std::uint64_t>(block) * code.bytes, stored.size(),
              stored.data());
    code.decode(stored.data(), blocks, values.data());
    const std::int64_t decoded = block * code.elements, from = std::max(first, decoded),
                       to = std::min(end, decoded + blocks * code.elements);
    std::memcpy(destination + static_cast<std::size_t>(from - first) * sizeof(float),
                values.data() + (from - decoded),
                static_cast<std::size_t>(to - from) * sizeof(float));
  }
}

/// Elements [begin, end) of the whole tensor, rows of one run each; neighbours are read together.
void read_rows(const InputFile& file, const TensorInfo& tensor, std::int64_t begin,
               std::int64_t end, std::byte* destination) {
  const RowOrder& rows = *tensor.rows;
  const std::size_t size = size_of(tensor.dtype);
  const auto stored = [&](std::int64_t i) { return rows.first(i / rows.length) + i % rows.length; };
  while (begin < end) {
    const std::int64_t first = stored(begin);
    std::int64_t next = std::min(end, (begin / rows.length + 1) * rows.length);
    while (next < end && stored(next) == first + (next - begin))
      next = std::min(end, next + rows.length);
    read_run(file, tensor, first, next - begin, destination);
    destination += static_cast<std::size_t>(next - begin) * size;
    begin = next;
  }
}

/// The same where the elements of a row lie apart.
void gather(const InputFile& file, const TensorInfo& tensor, std::int64_t begin, std::int64_t end,
            std::byte* destination) {
  const RowOrder& rows = *tensor.rows;
  const std::size_t size = size_of(tensor.dtype);
  const auto stored = [&](std::int64_t i) {
    return rows.first(i / rows.length) + (i % rows.length) * rows.step;
  };
  std::int64_t low = stored(begin), high = low;
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t row_end = std::min(end, (i / rows.length + 1) * rows.length);
    for (const std::int64_t at : {stored(i), stored(row_end - 1)})
      low = std::min(low, at), high = std::max(high, at);
    i = row_end;
  }
  if ((high - low) / kWidestSpan >= end - begin) {
    for (std::int64_t i = begin; i < end; ++i, destination += size)
      read_run(file, tensor, stored(i), 1, destination);
    return;
  }
  std::vector<std::byte> span(static_cast<std::size_t>(high - low + 1) * size);
  read_run(file, tensor, low, high - low + 1, span.data());
  for (std::int64_t i = begin; i < end; ++i, destination += size)
    std::memcpy(destination, span.data() + static_cast<std::size_t>(stored(i) - low) * size, size);
}

}  // namespace

void read_elements(const InputFile& file, const TensorInfo& tensor, std::int64_t first,
                   std::int64_t count, void* destination) {
  auto* to = static_cast<std::byte*>(destination);
  if (count == 0) return;
  if (tensor.rows == nullptr)
    read_run(file, tensor, first, count, to);
  else if (tensor.rows->step == 1)
    read_rows(file, tensor, first, first + count, to);
  else
    gather(file, tensor, first, first + count, to);
}

}  // namespace deadray
