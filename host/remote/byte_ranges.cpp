#include "host/remote/byte_ranges.h"

#include <algorithm>

namespace deadray {

std::vector<ByteRange> join_ranges(std::vector<ByteRange> ranges, std::uint64_t gap) {
  std::erase_if(ranges, [](const ByteRange& range) { return range.begin >= range.end; });
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  std::vector<ByteRange> joined;
  for (const ByteRange& range : ranges) {
    const bool is_near = !joined.empty() && (range.begin <= joined.back().end ||
                                             range.begin - joined.back().end <= gap);
    if (is_near)
      joined.back().end = std::max(joined.back().end, range.end);
    else
      joined.push_back(range);
  }
  return joined;
}

std::vector<ByteRange> without_held(std::span<const ByteRange> wanted,
                                    std::span<const ByteRange> held) {
  std::vector<ByteRange> missing;
  for (ByteRange range : wanted) {
    for (const ByteRange& here : held) {
      if (here.end <= range.begin) continue;
      if (here.begin >= range.end) break;
      if (here.begin > range.begin) missing.push_back({range.begin, here.begin});
      range.begin = std::min(here.end, range.end);
    }
    if (range.begin < range.end) missing.push_back(range);
  }
  return missing;
}

}  // namespace deadray
