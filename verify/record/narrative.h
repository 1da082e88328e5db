#pragma once

#include <string>

#include "verify/measure/measurement.h"
#include "verify/record/record.h"

namespace deadray {

/// A measurement for people: what was predicted, what was measured and at what cost, and whether
/// the two agree. Ends in '\n'.
std::string narrate(const RecordHeader& header, const Measurement& measurement, bool coloured);

}  // namespace deadray
