#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "verify/backend.h"

namespace deadray {

/// Bytes that this process may still take: what the system counts as available, or less where a control group sets a limit. 0: unknown.
std::int64_t available_memory();
/// What the control groups (version 2) from the root down to `group` leave: the least of limit less use at each level, page cache not counted
/// as use. The largest integer where none sets a limit.
std::int64_t group_available(const std::filesystem::path& root, const std::filesystem::path& group);
/// Of the device that the backend computes on.
std::int64_t available_memory(const Backend& backend);

/// "512.0 KiB", "1.5 GiB".
std::string size_text(double bytes);

}  // namespace deadray
