#include "verify/base/machine_load.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// "" where there is no such file.
std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// The first `count` numbers of a line that holds nothing else before them.
template <std::size_t count>
std::optional<std::array<double, count>> numbers_in(std::string_view text) {
  std::array<double, count> numbers{};
  for (double& number : numbers) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  return numbers;
}

double seconds_on(clockid_t clock) {
  timespec time{};
  return clock_gettime(clock, &time) == 0
             ? static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec)
             : 0;
}

double seconds_in(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

std::optional<double> share(double part, double whole) {
  if (whole <= 0) return std::nullopt;
  return std::clamp(part / whole, 0.0, 1.0);  // the counters are not read at one instant
}

}  // namespace

std::optional<ProcessorTimes> parse_processor_times(std::string_view stat,
                                                    double ticks_per_second) {
  constexpr std::string_view kAll = "cpu ";  // the sum; "cpu0" follows
  if (!stat.starts_with(kAll)) return std::nullopt;
  const auto ticks = numbers_in<8>(stat.substr(kAll.size(), stat.find('\n') - kAll.size()));
  if (!ticks) return std::nullopt;
  const auto [user, nice, system, idle, iowait, irq, softirq, steal] = *ticks;
  return ProcessorTimes{(user + nice + system + irq + softirq) / ticks_per_second,
                        steal / ticks_per_second, (idle + iowait) / ticks_per_second};
}

std::optional<ThreadTimes> parse_thread_times(std::string_view schedstat) {
  const auto nanoseconds = numbers_in<2>(schedstat);
  if (!nanoseconds) return std::nullopt;
  return ThreadTimes{1e-9 * (*nanoseconds)[0], 1e-9 * (*nanoseconds)[1]};
}

std::map<int, ThreadTimes> thread_times_in(const fs::path& tasks) {
  std::map<int, ThreadTimes> threads;
  std::error_code error;  // a process may end meanwhile
  for (fs::directory_iterator task(tasks, error), end; !error && task != end; task.increment(error))
    if (const auto times = parse_thread_times(text_of(task->path() / "schedstat")))
      threads[std::atoi(task->path().filename().c_str())] = *times;
  return threads;
}

LoadCounters read_load_counters(const std::vector<int>& children) {
  LoadCounters counters;
  counters.processors =
      parse_processor_times(text_of("/proc/stat"), static_cast<double>(sysconf(_SC_CLK_TCK)));
  counters.own = seconds_on(CLOCK_PROCESS_CPUTIME_ID);
  rusage ended{};
  if (getrusage(RUSAGE_CHILDREN, &ended) == 0)
    counters.own += seconds_in(ended.ru_utime) + seconds_in(ended.ru_stime);
  counters.threads = thread_times_in("/proc/self/task");
  for (const int child : children) {
    if (clockid_t clock{}; clock_getcpuclockid(child, &clock) == 0)
      counters.own += seconds_on(clock);
    counters.threads.merge(thread_times_in(fs::path("/proc") / std::to_string(child) / "task"));
  }
  return counters;
}

bool MachineLoad::busy() const {
  return others.value_or(0) + steal.value_or(0) > kBusyShare || waited.value_or(0) > kBusyShare;
}

LoadTimes& LoadTimes::operator+=(const LoadTimes& more) {
  processors += more.processors;
  others += more.others;
  stolen += more.stolen;
  ran += more.ran;
  waited += more.waited;
  return *this;
}

MachineLoad LoadTimes::shares() const {
  MachineLoad load;
  if (processors >= kLeastSeconds * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)))
    load.others = share(others, processors), load.steal = share(stolen, processors);
  if (ran + waited >= kLeastThreadSeconds) load.waited = share(waited, ran + waited);
  return load;
}

LoadTimes between(const LoadCounters& before, const LoadCounters& after) {
  LoadTimes times;
  if (before.processors && after.processors) {
    const ProcessorTimes &from = *before.processors, &to = *after.processors;
    times.processors = to.busy + to.stolen + to.idle - (from.busy + from.stolen + from.idle);
    times.others = to.busy - from.busy - (after.own - before.own);
    times.stolen = to.stolen - from.stolen;
  }
  for (const auto& [number, thread] : after.threads) {  // one that has ended is not known any more
    const auto found = before.threads.find(number);
    const ThreadTimes from = found == before.threads.end() ? ThreadTimes{} : found->second;
    times.ran += thread.ran - from.ran;
    times.waited += thread.waited - from.waited;
  }
  return times;
}

}  // namespace deadray
