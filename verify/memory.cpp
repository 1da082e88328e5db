#include "verify/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

namespace deadray {

namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

/// The number that a file of the kernel's holds; "max" is no limit.
std::optional<std::int64_t> number_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::int64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

std::int64_t system_available() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("MemAvailable:")) return std::stoll(line.substr(line.find(':') + 1)) * 1024;
  return 0;
}

/// What the control groups from this process's own up to the root leave (version 2); page cache that they hold can be dropped, so this is a
/// lower bound.
std::int64_t group_available() {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  while (std::getline(in, line) && !line.starts_with("0::")) {
  }
  if (!line.starts_with("0::")) return kNoLimit;
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::int64_t least = kNoLimit;
  for (std::filesystem::path group = root / std::filesystem::path(line.substr(3)).relative_path();; group = group.parent_path()) {
    const auto limit = number_in(group / "memory.max"), used = number_in(group / "memory.current");
    if (limit && used) least = std::min(least, std::max<std::int64_t>(0, *limit - *used));
    if (group == root || !group.has_relative_path()) return least;
  }
}

}  // namespace

std::int64_t available_memory() { return std::min(system_available(), group_available()); }

std::int64_t available_memory(const Backend& backend) {
  return backend.device().is_cpu() ? available_memory() : static_cast<std::int64_t>(backend.free_bytes());
}

std::string size_text(double bytes) {
  static constexpr std::pair<double, const char*> kUnits[] = {{0x1p30, "GiB"}, {0x1p20, "MiB"}};
  for (const auto& [unit, name] : kUnits)
    if (bytes >= unit) return fmt::format("{:.1f} {}", bytes / unit, name);
  return fmt::format("{:.1f} KiB", bytes / 0x1p10);
}

}  // namespace deadray
