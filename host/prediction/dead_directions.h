#pragma once

#include <cstdint>

#include "host/architecture/architecture.h"

namespace deadray {

/// Dead directions of all of a model's parameters, from its configuration alone: for scales none of
/// which is zero, and shifts whose constant is not, as training leaves them. (At initialisation
/// every shift is 0: then a consumer without bias has its width of them instead of a share of
/// hidden_size.)
std::int64_t count_dead_directions(const Architecture& architecture);

}  // namespace deadray
