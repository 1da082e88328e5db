#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>

#include "host/formats/checkpoint.h"

namespace deadray {

/// A tensor of whole numbers, as int64.
/// @param shape  as messages tell it, "[batch, sequence]"; its commas give the rank
/// @throws MalformedError for another type or rank
at::Tensor read_integers(const Checkpoint& file, const std::string& name, std::string_view shape);

}  // namespace deadray
