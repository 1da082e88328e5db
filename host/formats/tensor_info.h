#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "host/formats/dtype.h"

namespace deadray {

/// A tensor as its file's header describes it; its values stay on disk until read.
struct TensorInfo {
  std::string name;
  DType dtype = DType::unknown;
  std::string stored_dtype;         ///< the header's own spelling, also when dtype is unknown
  std::vector<std::int64_t> shape;  ///< row-major; {} is a scalar
  std::size_t file = 0;             ///< index into Checkpoint::files()
  std::uint64_t offset = 0;         ///< first byte, counted from the start of the file
  std::uint64_t bytes = 0;

  std::int64_t elements() const noexcept;
};

}  // namespace deadray
