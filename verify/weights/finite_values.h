#pragma once

#include <cstdint>

#include "host/formats/checkpoint.h"

namespace deadray {

/// A weight that is not finite would make every figure of a run NaN, or hide in one that is not.
/// Reads the values once more, at the speed of memory.
/// @param values  `count` elements of `dtype`, from element `first` of the tensor on
/// @throws MalformedError naming file, tensor, the first such index and its value
void require_finite(const Checkpoint& checkpoint, const TensorInfo& tensor, DType dtype,
                    std::int64_t first, std::int64_t count, const void* values);

}  // namespace deadray
