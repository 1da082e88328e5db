#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "host/formats/checkpoint.h"

namespace deadray {

/// Reads a tensor of whole numbers, int32 or int64, as int64.
/// @param shape  for messages, "[batch, sequence]"; its commas give the rank that is expected
/// @throws MalformedError for another type or rank
at::Tensor read_integers(const Checkpoint& file, const std::string& name, std::string_view shape);

/// Reads a mask [batch, sequence]: zeros and ones, of any integer type or of bool, as bool.
/// @throws MalformedError for another type or rank; naming row and column of another value
at::Tensor read_mask(const Checkpoint& file, const std::string& name);

}  // namespace deadray
