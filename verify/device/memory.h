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
/// From now on available_memory() is one of so many equal shares: for ranks on one host.
void share_memory(int processes);
/// The same of the device that the backend computes on.
std::int64_t available_memory(const Backend& backend);
/// Bytes that the control groups (version 2) from the root down to `group` leave: the least, over
/// the levels, of limit - use. Page cache does not count as use. At least 1, since 0 stands for
/// unknown; the largest integer where no level sets a limit.
std::int64_t group_available(const std::filesystem::path& root, const std::filesystem::path& group);

/// Has libtorch put large tensors into large pages, unless THP_MEM_ALLOC_ENABLE is set already:
/// the system gives those in half the time. To be called before the first tensor is made.
void ask_for_large_pages();

/// "512.0 KiB", "1.5 GiB".
std::string size_text(double bytes);

/// The share of the available memory that one thing may take: allocators and the system need some.
inline constexpr double kShareOfMemory = 0.8;

/// Why `bytes` do not fit on the backend: "WHAT 3.0 GiB of 2.0 GiB available". Empty where they fit
/// into kShareOfMemory, and where the available memory is unknown.
/// @param what  with its verb: "a direction takes"
std::string no_room(const Backend& backend, double bytes, std::string_view what);
/// @param way_out  what a user can do, at the end of the message
/// @throws ResourceError where no_room() has a reason
void require_room(const Backend& backend, double bytes, std::string_view what,
                  std::string_view way_out);

}  // namespace deadray
