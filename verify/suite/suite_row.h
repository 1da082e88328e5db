#pragma once

#include "verify/suite/suite.h"

namespace deadray {

/// Measures one row in this process and writes its record, whole or not at all.
/// @return refuted, undetermined or done
/// @throws Error, Stopped
ExitCode measure_row(const SuiteOptions& options, const Row& row);

}  // namespace deadray
