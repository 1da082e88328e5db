#include "verify/base/machine_load.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace deadray {
namespace {

constexpr double kTicks = 100;

TEST(ProcessorTimesTest, AddsUpTheLineOfAllProcessors) {
  const auto times = parse_processor_times(
      "cpu  1000 200 300 4000 50 6 7 89 11 12\ncpu0 1 1 1 1 1 1 1 1 1 1\nprocs_running 2\n",
      kTicks);
  ASSERT_TRUE(times);
  EXPECT_DOUBLE_EQ(times->busy, 15.13);
  EXPECT_DOUBLE_EQ(times->stolen, 0.89);
  EXPECT_DOUBLE_EQ(times->idle, 40.5);
}

TEST(ProcessorTimesTest, AreAbsentWhereTheSystemDoesNotTell) {
  for (const char* text : {"", "cpu", "cpu  1 2 3 4\ncpu0 5 6 7 8 9\n", "cpu0 1 2 3 4 5 6 7 8\n",
                           "intr 1 2 3 4 5 6 7 8\n", "cpu  1 2 three 4 5 6 7 8\n"})
    EXPECT_FALSE(parse_processor_times(text, kTicks)) << text;
}

TEST(ThreadTimesTest, AreNanosecondsThatRanAndWaited) {
  const auto times = parse_thread_times("1500000000 250000000 134\n");
  ASSERT_TRUE(times);
  EXPECT_DOUBLE_EQ(times->ran, 1.5);
  EXPECT_DOUBLE_EQ(times->waited, 0.25);
  EXPECT_FALSE(parse_thread_times(""));
  EXPECT_FALSE(parse_thread_times("12\n"));
}

TEST(ThreadTimesTest, AreThoseOfEveryThreadInTheFolder) {
  const test::TemporaryFolder folder;
  folder.write("7/schedstat", "1000000000 0 1\n");
  folder.write("12/schedstat", "2000000000 500000000 1\n");
  folder.write("30/comm", "its schedstat is gone\n");
  const auto threads = thread_times_in(folder.path());
  ASSERT_EQ(threads.size(), 2U) << "the third one has ended meanwhile";
  EXPECT_DOUBLE_EQ(threads.at(12).waited, 0.5);
  EXPECT_TRUE(thread_times_in(folder / "none").empty());
}

/// Two processors over 1000 s: 800 s of our own, 500 s of others, 100 s stolen, 600 s idle.
LoadTimes thousand_seconds() {
  const LoadCounters before{ProcessorTimes{100, 10, 1000}, 50, {{1, {2, 1}}, {2, {9, 9}}}},
      after{ProcessorTimes{1400, 110, 1600}, 850, {{1, {602, 101}}, {3, {200, 100}}}};
  return between(before, after);
}

TEST(MachineLoadTest, IsTheShareOfOthersOfTheHypervisorAndOfWaiting) {
  const MachineLoad load = thousand_seconds().shares();
  EXPECT_DOUBLE_EQ(load.others.value(), 5.0 / 20);
  EXPECT_DOUBLE_EQ(load.steal.value(), 1.0 / 20);
  // The first thread ran for 600 s and waited for 100 s, the third, a new one, ran for 200 s and
  // waited for 100 s. The second has ended.
  EXPECT_DOUBLE_EQ(load.waited.value(), 2.0 / 10);
}

TEST(MachineLoadTest, OfSeveralIntervalsIsThatOfAllTheirTime) {
  LoadTimes times = thousand_seconds();
  times += LoadTimes{8000, 500, 0, 3000, 0};
  const MachineLoad load = times.shares();
  EXPECT_DOUBLE_EQ(load.others.value(), 0.1);
  EXPECT_DOUBLE_EQ(load.steal.value(), 0.01);
  EXPECT_DOUBLE_EQ(load.waited.value(), 0.05);
}

TEST(MachineLoadTest, IsNeverBelowZeroForWantOfATick) {
  EXPECT_EQ((LoadTimes{1000, -0.01, 0, 1, 0}.shares().others), 0.0);
}

TEST(MachineLoadTest, IsAbsentOfTooLittleTime) {
  const MachineLoad load = LoadTimes{0.1, 0.05, 0, 0.05, 0.04}.shares();
  EXPECT_FALSE(load.known()) << "ticks of 10 ms, and the time that waking up takes";
  EXPECT_FALSE(load.busy());
}

TEST(MachineLoadTest, IsAbsentWithoutCounters) {
  const MachineLoad load = between({}, {}).shares();
  EXPECT_FALSE(load.others || load.steal || load.waited);
  EXPECT_FALSE(load.known());
  EXPECT_FALSE(load.busy());
}

TEST(MachineLoadTest, IsBusyWhereATenthOfTheTimeWentElsewhere) {
  EXPECT_FALSE((MachineLoad{0.05, 0.04, 0.09}.busy()));
  EXPECT_TRUE((MachineLoad{0.06, 0.05, 0.0}.busy())) << "others and the hypervisor together";
  EXPECT_TRUE((MachineLoad{{}, {}, 0.11}.busy()));
}

TEST(MachineLoadTest, CountsOwnWorkAsOwn) {
  const LoadCounters before = read_load_counters();
  for (volatile int i = 0; i < 20'000'000;) i = i + 1;
  const LoadCounters after = read_load_counters();
  EXPECT_GT(after.own, before.own);
  const LoadTimes times = between(before, after);
  // The clock of the process and the counters of its threads tell of the same work; the latter
  // are brought up to date by the kernel's ticks alone.
  if (after.threads.empty()) GTEST_SKIP() << "no /proc/self/task/*/schedstat here";
  EXPECT_NEAR(times.ran, after.own - before.own, 0.03);
}

TEST(MachineLoadTest, CountsAChildThatRunsAsOwn) {
  const pid_t child = fork();
  if (child == 0)
    for (volatile int i = 0;;) i = i + 1;
  const LoadCounters before = read_load_counters({child}), without = read_load_counters();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const LoadCounters after = read_load_counters({child}), without_after = read_load_counters();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_GT(after.own - before.own, 0.02);
  EXPECT_LT(without_after.own - without.own, 0.02) << "it has not ended";
}

}  // namespace
}  // namespace deadray
