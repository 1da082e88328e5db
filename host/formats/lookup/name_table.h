#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "host/formats/tensor_info.h"

namespace deadray {

/// Finds tensors by name: by hash, since a description asks for each of a model's tensors several
/// times, and binary search among 20,000 of them misses the cache at each step.
class NameTable {
 public:
  NameTable() = default;
  /// @param tensors  in order of name, names unique; must stay as they are
  explicit NameTable(const std::vector<TensorInfo>& tensors);

  /// @param tensors  those that the table was made of
  const TensorInfo* find(const std::vector<TensorInfo>& tensors,
                         std::string_view name) const noexcept;

 private:
  struct Slot {
    std::uint32_t hash = 0;    // its upper half; the lower one chooses the slot
    std::uint32_t number = 0;  // of the tensor, from 1; 0: free
  };
  std::vector<Slot> slots_;  // a power of two; empty: binary search instead
};

}  // namespace deadray
