#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "verify/device/backend.h"

namespace deadray {

/// Bytes that this process may still take: what the system counts as available, or less where a
/// control group sets a limit. 0: unknown.
std::int64_t available_memory();
/// What the control groups (version 2) from the root down to `group` leave: the least of limit less
/// use at each level, page cache not counted as use, and at least 1, since 0 stands for unknown.
/// The largest integer where none sets a limit.
std::int64_t group_available(const std::filesystem::path& root, const std::filesystem::path& group);
/// Of the device that the backend computes on.
std::int64_t available_memory(const Backend& backend);

/// "512.0 KiB", "1.5 GiB".
std::string size_text(double bytes);

/// Of what is available, as much as one thing may take: allocators and the system want some.
inline constexpr double kShareOfMemory = 0.8;

/// "WHAT 3.0 GiB of 2.0 GiB available" where `bytes` are more than that share of what the backend
/// has; empty where there is room for them, and where nothing is known. @param what  with its verb:
/// "a direction takes"
std::string no_room(const Backend& backend, double bytes, std::string_view what);
/// @param way_out  what a user can do
/// @throws ResourceError with no_room() and the way out
void require_room(const Backend& backend, double bytes, std::string_view what,
                  std::string_view way_out);

}  // namespace deadray
