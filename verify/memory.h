#pragma once

#include <cstdint>
#include <string>

#include "verify/backend.h"

namespace deadray {

/// Bytes that this process may still take: what the system counts as available, or less where a control group sets a limit. 0: unknown.
std::int64_t available_memory();
/// Of the device that the backend computes on.
std::int64_t available_memory(const Backend& backend);

/// "512.0 KiB", "1.5 GiB".
std::string size_text(double bytes);

}  // namespace deadray
