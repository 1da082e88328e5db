#pragma once

#include <cstdint>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// One of `parts` nearly equal parts of a calibration, of whole sequences with their pictures: what
/// one of several ranks runs.
/// @param index  from 0; together the parts are the whole, in order
/// @throws UsageError where a part would have no sequence or no row that counts, or no picture
///     where others have some
Calibration slice(const Calibration& whole, const Architecture& architecture, std::int64_t index,
                  std::int64_t parts);

}  // namespace deadray
