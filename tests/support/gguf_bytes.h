#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/safetensors_bytes.h"

// GGUF files byte by byte, sound or not.
namespace deadray::test {

inline std::string gguf_text(std::string_view text) {
  return bytes_of(std::uint64_t{text.size()}) + std::string(text);
}

template <typename T>
std::string gguf_key(std::string_view name, std::uint32_t type, const T& value) {
  return gguf_text(name) + bytes_of(type) + bytes_of(value);
}

inline std::string gguf_string_key(std::string_view name, std::string_view value) {
  return gguf_text(name) + bytes_of(std::uint32_t{8}) + gguf_text(value);
}

/// @param elements  their bytes, `count` of them or not
inline std::string gguf_array_key(std::string_view name, std::uint32_t type, std::uint64_t count,
                                  std::string_view elements) {
  return gguf_text(name) + bytes_of(std::uint32_t{9}) + bytes_of(type) + bytes_of(count) +
         std::string(elements);
}

/// @param extents  the fastest dimension first, as the file has them
inline std::string gguf_tensor(std::string_view name, const std::vector<std::int64_t>& extents,
                               std::uint32_t type, std::uint64_t offset) {
  return gguf_text(name) + bytes_of(static_cast<std::uint32_t>(extents.size())) +
         bytes_of(extents) + bytes_of(type) + bytes_of(offset);
}

/// A file whose counts are those of its lists unless they are set.
struct GgufFile {
  std::vector<std::string> keys = {}, tensors = {};
  std::uint64_t data_bytes = 0, alignment = 32;
  std::uint32_t version = 3;
  std::int64_t n_tensors = -1, n_keys = -1;

  std::string bytes() const {
    std::string head = "GGUF" + bytes_of(version);
    head += bytes_of(n_tensors < 0 ? static_cast<std::int64_t>(tensors.size()) : n_tensors);
    head += bytes_of(n_keys < 0 ? static_cast<std::int64_t>(keys.size()) : n_keys);
    for (const std::string& key : keys) head += key;
    for (const std::string& tensor : tensors) head += tensor;
    if (data_bytes > 0) head.resize((head.size() + alignment - 1) / alignment * alignment);
    return head + std::string(data_bytes, '\x11');
  }
};

}  // namespace deadray::test
