#include "verify/kernel_bench/kernel_timing.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <exception>

namespace deadray {
namespace {

constexpr double kSlow = 0.3;      // seconds; what takes longer is run once a repetition
constexpr double kMinTime = 0.05;  // seconds of measured work a repetition
// Seconds of calls between two events, so that a launch's own delay does not count.
constexpr double kBatch = 2e-3;
constexpr double kWarmUp = 0.1;  // seconds; a device that idled raises its clock first
constexpr int kRepetitions = 5, kSlowRepetitions = 3, kMaxBatch = 128;

/// Keeps the median of the repetitions and prints nothing.
class MedianReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs)
      if (run.run_type == Run::RT_Aggregate && run.aggregate_name == "median")
        seconds = run.GetAdjustedRealTime();
  }
  double seconds = 0.0;
};

class EventPair {
 public:
  explicit EventPair(const BenchDevice& device)
      : device_(device),
        start_(device.operations().create_event()),
        end_(device.operations().create_event()) {}
  ~EventPair() {
    device_.operations().destroy_event(start_);
    device_.operations().destroy_event(end_);
  }
  EventPair(const EventPair&) = delete;
  EventPair& operator=(const EventPair&) = delete;

  template <class Work>
  double seconds_of(const Work& work) const {
    device_.operations().record_event(start_, device_.stream());
    work();
    device_.operations().record_event(end_, device_.stream());
    return device_.operations().seconds_between(start_, end_);
  }

 private:
  const BenchDevice& device_;
  kernels::Event start_, end_;
};

}  // namespace

KernelTiming time_kernel(const BenchDevice& device, const KernelCase& row, bool quick) {
  const PreparedCall call = row.prepare(device);
  const EventPair events(device);
  std::int64_t repetition = 0;
  const auto seconds_per_call = [&](int calls) {
    const double seconds = events.seconds_of([&] {
      for (int i = 0; i < calls; ++i) call.run(repetition++);
    });
    return seconds / calls;
  };
  seconds_per_call(1);  // loads the code, lets the library choose
  const double first = seconds_per_call(1);
  const bool slow = first > kSlow;
  const int batch =
      quick ? 1
            : static_cast<int>(std::clamp(kBatch / std::max(first, 1e-9), 1.0, double{kMaxBatch}));
  for (double warm = quick || slow ? kWarmUp : 0.0; warm < kWarmUp;)
    warm += batch * seconds_per_call(batch);

  std::exception_ptr failure;
  benchmark::ClearRegisteredBenchmarks();
  auto* const registered =
      benchmark::RegisterBenchmark(row.name().c_str(), [&](benchmark::State& state) {
        for (auto _ : state) {
          try {
            state.SetIterationTime(seconds_per_call(batch));
          } catch (...) {
            failure = std::current_exception();
            state.SkipWithError("failed");
            break;
          }
        }
      });
  registered->UseManualTime()
      ->Unit(benchmark::kSecond)
      ->Repetitions(slow || quick ? kSlowRepetitions : kRepetitions);
  if (slow || quick) {
    registered->Iterations(1);
  } else {
    registered->MinTime(kMinTime);
  }
  MedianReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  if (failure) std::rethrow_exception(failure);
  return {reporter.seconds, call.workspace_bytes, call.driver ? call.driver() : "", call.bytes};
}

}  // namespace deadray
