#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace deadray {

/// The number, little-endian as every container has it, at `offset` of bytes that hold it.
template <typename Number>
Number number_at(std::string_view bytes, std::size_t offset = 0) {
  Number value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

}  // namespace deadray
