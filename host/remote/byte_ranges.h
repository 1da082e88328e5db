#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/base/partial_file.h"

namespace deadray {

/// The same bytes in ascending ranges that do not meet, and further bytes between two of them where
/// these are `gap` or fewer: one request then serves for both. Empty ranges are left out.
std::vector<ByteRange> join_ranges(std::vector<ByteRange> ranges, std::uint64_t gap);

/// What of the wanted ranges is not in the ones that are here.
/// @param held  ascending and apart
std::vector<ByteRange> without_held(std::span<const ByteRange> wanted,
                                    std::span<const ByteRange> held);

}  // namespace deadray
