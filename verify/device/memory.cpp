#include "verify/device/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

#include "host/base/error.h"

namespace deadray {

namespace {

int processes_that_share = 1;

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
    if (line.starts_with("MemAvailable:"))
      return std::stoll(line.substr(line.find(':') + 1)) * 1024;
  return 0;
}

/// Page cache of a control group: counted as used, yet given back before anyone is refused, as
/// after reading a checkpoint.
std::int64_t cache_of(const std::filesystem::path& group) {
  std::ifstream in(group / "memory.stat");
  std::int64_t cache = 0, value = 0;
  for (std::string name; in >> name >> value;)
    if (name == "active_file" || name == "inactive_file") cache += value;
  return cache;
}

/// The control group (version 2) of this process, as a path below the root of groups; none where
/// there are none.
std::optional<std::filesystem::path> own_group() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) return std::filesystem::path(line.substr(3)).relative_path();
  return std::nullopt;
}

}  // namespace

std::int64_t group_available(const std::filesystem::path& root,
                             const std::filesystem::path& group) {
  std::int64_t least = kNoLimit;
  std::filesystem::path level = root;
  const auto consider = [&] {
    const auto limit = number_in(level / "memory.max"), used = number_in(level / "memory.current");
    if (limit && used)
      least = std::min(least, std::max<std::int64_t>(1, *limit - *used + cache_of(level)));
  };
  consider();
  for (const std::filesystem::path& name : group) level /= name, consider();
  return least;
}

std::int64_t available_memory() {
  const auto group = own_group();
  const std::int64_t all =
      group ? std::min(system_available(), group_available("/sys/fs/cgroup", *group))
            : system_available();
  return all / processes_that_share;
}

void share_memory(int processes) { processes_that_share = processes; }

std::int64_t available_memory(const Backend& backend) {
  return backend.device().is_cpu() ? available_memory()
                                   : static_cast<std::int64_t>(backend.free_bytes());
}

void ask_for_large_pages() { ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0); }

std::string size_text(double bytes) {
  static constexpr std::pair<double, const char*> kUnits[] = {{0x1p30, "GiB"}, {0x1p20, "MiB"}};
  for (const auto& [unit, name] : kUnits)
    if (bytes >= unit) return fmt::format("{:.1f} {}", bytes / unit, name);
  return fmt::format("{:.1f} KiB", bytes / 0x1p10);
}

std::string no_room(const Backend& backend, double bytes, std::string_view what) {
  const auto available = static_cast<double>(available_memory(backend));
  if (available <= 0 || bytes <= kShareOfMemory * available) return {};
  return fmt::format("{} {} of {} available", what, size_text(bytes), size_text(available));
}

void require_room(const Backend& backend, double bytes, std::string_view what,
                  std::string_view way_out) {
  if (const std::string why = no_room(backend, bytes, what); !why.empty())
    throw ResourceError(fmt::format("{}; {}", why, way_out));
}

}  // namespace deadray
