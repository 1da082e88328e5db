#pragma once

#include <cstdint>

#include "host/formats/tensor_info.h"

namespace deadray {

/// An element type of GGUF tensors.
struct GgmlType {
  std::uint32_t number = 0;  ///< in files
  /// "Q4_K", and what a block takes, one element where nothing is shared. decode is null for a
  /// plain type, and for one that deadray knows only by its size.
  BlockCode code;
  DType dtype = DType::unknown;  ///< of the elements when read
};

/// nullptr for a number that is not in use, or not any more.
const GgmlType* find_ggml_type(std::uint32_t number) noexcept;

}  // namespace deadray
