#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

// How busy a machine was while something was measured, by the kernel's own counters.
namespace deadray {

/// Time of all processors since the system started, in seconds of one of them.
struct ProcessorTimes {
  double busy = 0;    ///< in programs and in the kernel
  double stolen = 0;  ///< the hypervisor ran something else
  double idle = 0;    ///< nothing to do, or waiting for a disk
};
/// @param stat  the text of /proc/stat
/// @return nothing where its first line does not have all of that
std::optional<ProcessorTimes> parse_processor_times(std::string_view stat, double ticks_per_second);

/// Of one thread since its start, in seconds.
struct ThreadTimes {
  double ran = 0;
  double waited = 0;  ///< it could have run, and no processor was free
};
/// @param schedstat  the text of /proc/PID/task/TID/schedstat
std::optional<ThreadTimes> parse_thread_times(std::string_view schedstat);
/// Of every thread in a folder /proc/PID/task, by its number; none where there is no such folder.
std::map<int, ThreadTimes> thread_times_in(const std::filesystem::path& tasks);

/// The counters at one instant, of the machine and of the processes that measure.
struct LoadCounters {
  std::optional<ProcessorTimes> processors;
  double own = 0;  ///< processor seconds of those processes, and of their children that have ended
  std::map<int, ThreadTimes> threads;  ///< of those processes
};
/// Of this process and of `children` of it that measure too. What the system does not tell is
/// absent.
LoadCounters read_load_counters(const std::vector<int>& children = {});

/// Above this share of time that went elsewhere a reading is an upper bound. Daemons and interrupts
/// stay below it.
inline constexpr double kBusyShare = 0.10;
/// Shorter times give no share. /proc/stat counts in ticks of 10 ms, and waking a thread takes
/// microseconds: both must be small against the whole.
inline constexpr double kLeastSeconds = 0.5, kLeastThreadSeconds = 0.1;

/// Shares from 0 to 1; absent where the system does not tell.
struct MachineLoad {
  std::optional<double> others;  ///< of the processors' time: what other programs used
  std::optional<double> steal;   ///< of the processors' time: what the hypervisor took
  std::optional<double> waited;  ///< of the time that own threads wanted to run
  bool known() const { return others || waited; }
  /// Whether what was measured meanwhile took longer than on a quiet machine.
  bool busy() const;
};

/// Seconds of one or several intervals, from which the shares come. A sum of intervals is more
/// exact than each: /proc/stat counts in ticks.
struct LoadTimes {
  double processors = 0;  ///< of all processors; 0: not known
  double others = 0, stolen = 0;
  double ran = 0, waited = 0;  ///< of own threads
  LoadTimes& operator+=(const LoadTimes& more);
  MachineLoad shares() const;
};
LoadTimes between(const LoadCounters& before, const LoadCounters& after);

}  // namespace deadray
