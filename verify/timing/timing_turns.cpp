#include "verify/timing/timing_turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <thread>

#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "verify/base/machine_load.h"
#include "verify/device/library_errors.h"
#include "verify/device/memory.h"

namespace deadray {
namespace {

constexpr double kReading = 0.05;  // seconds of calls in one reading
constexpr double kSlow = 1.0;      // seconds; what takes longer needs no call to warm up
// The threads of the previous contender (OpenMP's, OpenBLAS's) spin for a while after their work.
constexpr std::chrono::milliseconds kSettle{50};

/// Mean of the calls that fill a reading.
double read_once(const Contender& contender, bool first) {
  std::this_thread::sleep_for(kSettle);
  Stopwatch watch;
  double sum = contender.run();
  if (first && watch.seconds() < kSlow) watch.lap(), sum = contender.run();
  int calls = 1;
  for (; watch.seconds() < kReading; ++calls) sum += contender.run();
  return sum / calls;
}

/// One contender and what it has used so far.
struct Turn {
  const Contender* contender;
  std::size_t row;                   // in TimingRun::rows
  double spent = 0;                  // seconds of wall time
  std::optional<double> expected{};  // seconds of the next reading

  bool open(const TimingRow& of, const TurnOptions& options) const {
    const int taken = static_cast<int>(of.seconds.size());
    if (!of.skipped.empty() || taken >= options.repetitions) return false;
    return taken == 0 || spent + expected.value_or(0) <= options.budget;
  }
  /// Seconds of all its readings to come; absent where nothing tells.
  std::optional<double> left(const TimingRow& of, const TurnOptions& options) const {
    if (!open(of, options)) return 0.0;
    if (!expected) return std::nullopt;
    const double by_count =
        static_cast<double>(options.repetitions - static_cast<int>(of.seconds.size())) * *expected;
    return std::min(by_count, std::max(*expected, options.budget - spent));
  }
};

/// Seconds to expect: those of the same contender on the largest smaller problem, times the cube of
/// the ratio of d. All long methods grow so.
std::optional<double> expectation(const TimingRun& run, const TimingRow& of) {
  const TimingRow* best = nullptr;
  for (const TimingRow& row : run.rows) {
    const bool same = row.method == of.method && row.device == of.device && row.model.empty() &&
                      of.model.empty() && row.peer.has_value() == of.peer.has_value() &&
                      (!row.peer || row.peer->name == of.peer->name);
    if (same && row.d < of.d && !row.seconds.empty() && (best == nullptr || row.d > best->d))
      best = &row;
  }
  if (best == nullptr) return std::nullopt;
  return best->median_seconds() *
         std::pow(static_cast<double>(of.d) / static_cast<double>(best->d), 3);
}

/// Why it is not to be tried; empty: it is.
std::string refusal(const Contender& contender, const std::optional<double>& expected,
                    const TurnOptions& options) {
  if (expected && *expected > options.limit)
    return fmt::format("about {:.0f} s by its time at a smaller d, more than --limit {:g}",
                       *expected, options.limit);
  const double available = contender.available();
  if (available > 0 && contender.bytes > available)
    return fmt::format("needs {} more memory, and {} is available", size_text(contender.bytes),
                       size_text(available));
  return {};
}

/// The further processes of the contenders. They stay apart from other programs in every turn: what
/// is left over from their last call is their own.
std::vector<int> processes_of(const std::vector<Contender>& contenders) {
  std::set<int> processes;
  for (const Contender& contender : contenders)
    if (contender.process) processes.insert(*contender.process);
  return {processes.begin(), processes.end()};
}

void take_turn(Turn& turn, const std::vector<int>& processes, TimingRow& row) {
  const Stopwatch watch;
  try {
    const LoadCounters before = read_load_counters(processes);
    translate_library_errors([&] {
      row.seconds.push_back(read_once(*turn.contender, row.seconds.empty()));
      return 0;
    });
    row.load += between(before, read_load_counters(processes));
  } catch (const Error& error) {  // one contender's failure is a row's
    row.skipped = error.what();
  } catch (const std::bad_alloc&) {
    row.skipped = "not enough memory";
  }
  const double took = watch.seconds();
  turn.spent += took;
  turn.expected = took;
}

std::optional<double> seconds_left(const std::vector<Turn>& turns, const TimingRun& run,
                                   const TurnOptions& options) {
  double sum = 0;
  for (const Turn& turn : turns) {
    const auto left = turn.left(run.rows[turn.row], options);
    if (!left) return std::nullopt;
    sum += *left;
  }
  return sum;
}

}  // namespace

void take_turns(const std::vector<Contender>& contenders, const TimedProblem& problem,
                const TurnOptions& options, Progress& progress, TimingRun& run) {
  const std::vector<int> processes = processes_of(contenders);
  std::vector<Turn> turns;
  for (const Contender& contender : contenders) {
    TimingRow row{problem.d,
                  contender.method,
                  contender.device,
                  problem.model,
                  contender.peer,
                  contender.threads,
                  {},
                  {}};
    const auto expected = expectation(run, row);
    row.skipped = refusal(contender, expected, options);
    turns.push_back({&contender, run.rows.size(), 0, expected});
    run.rows.push_back(std::move(row));
  }
  for (int round = 0; round < options.repetitions; ++round) {
    for (Turn& turn : turns) {
      TimingRow& row = run.rows[turn.row];
      if (!turn.open(row, options)) continue;
      throw_if_stopped();
      progress.show(
          fmt::format("{}{}, run {} of {}", to_string(row.method),
                      row.peer ? " of " + row.peer->name : "", round + 1, options.repetitions),
          seconds_left(turns, run, options));
      take_turn(turn, processes, row);
    }
  }
}

}  // namespace deadray
