#pragma once

#include <cstdint>

#include "host/architecture/architecture.h"

namespace deadray {

/// Number of dead directions of a model's parameters, from its configuration alone. It holds for
/// parameters as training leaves them: no scale is zero, and no constant sum beta/gamma. (At
/// initialisation every shift is 0. Then a consumer without bias has as many as it has outputs,
/// instead of a share of hidden_size.)
std::int64_t count_dead_directions(const Architecture& architecture);

}  // namespace deadray
