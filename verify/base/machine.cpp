#include "verify/base/machine.h"

#include <deadray_commit.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string_view>

namespace deadray {
namespace {

/// The value of the first "key : value" line of a file of /proc; "" when there is none.
std::string proc_value(const char* file, std::string_view key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return {};
}

}  // namespace

std::string_view build_commit() noexcept { return DEADRAY_COMMIT; }

Machine this_machine() {
  Machine machine;
  machine.cpu = proc_value("/proc/cpuinfo", "model name");
  utsname name;
  if (machine.cpu.empty() && uname(&name) == 0) machine.cpu = name.machine;
  cpu_set_t usable;
  machine.cores = sched_getaffinity(0, sizeof usable, &usable) == 0
                      ? CPU_COUNT(&usable)
                      : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  machine.memory_bytes = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  return machine;
}

// Not getrusage(): its ru_maxrss survives exec, so that a child would report its parent's memory.
std::int64_t peak_memory_bytes() {
  return std::strtoll(proc_value("/proc/self/status", "VmHWM").c_str(), nullptr, 10) * 1024;
}

}  // namespace deadray
