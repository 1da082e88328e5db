#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/safetensors_bytes.h"

// Pickles operation by operation, sound or not.
namespace deadray::test {

inline std::string pickled(std::string_view operations) {
  return "\x80\x02" + std::string(operations) + ".";
}
inline std::string pickled_text(std::string_view text) {
  return "X" + bytes_of(static_cast<std::uint32_t>(text.size())) + std::string(text);
}
inline std::string pickled_number(std::int64_t value) {
  return std::string("\x8a\x08") + bytes_of(value);
}
inline std::string pickled_global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string pickled_tuple(const std::vector<std::int64_t>& numbers) {
  std::string operations = "(";
  for (const std::int64_t number : numbers) operations += pickled_number(number);
  return operations + "t";
}

/// What a tensor is pickled as.
struct PickledView {
  std::int64_t elements = 4;  ///< of its storage
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape{4}, strides{1};
  std::string key = "0", type = "FloatStorage";
};

inline std::string pickled_tensor(const PickledView& view) {
  return pickled_global("torch._utils", "_rebuild_tensor_v2") + "((" + pickled_text("storage") +
         pickled_global("torch", view.type) + pickled_text(view.key) + pickled_text("cpu") +
         pickled_number(view.elements) + "tQ" + pickled_number(view.offset) +
         pickled_tuple(view.shape) + pickled_tuple(view.strides) + "\x89}tR";
}

}  // namespace deadray::test
