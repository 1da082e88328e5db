#include "verify/base/side_by_side.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace deadray {
namespace {

/// Sets the number of libtorch's threads, and sets it back.
class SideBySideTest : public testing::TestWithParam<int> {
 protected:
  SideBySideTest() { at::set_num_threads(GetParam()); }
  ~SideBySideTest() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_P(SideBySideTest, RunsEveryTaskOnce) {
  for (const std::int64_t n : {0, 1, 2, 3, 50}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
    run_side_by_side(n, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
    for (const auto& count : runs) EXPECT_EQ(count, 1) << n;
  }
}

// Each task waits for all others to have begun.
TEST_P(SideBySideTest, RunsAsManyAtOnceAsThereAreThreads) {
  std::atomic<int> begun{0}, alone{0};
  run_side_by_side(GetParam(), [&](std::int64_t) {
    ++begun;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (begun < GetParam() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (begun < GetParam()) ++alone;
  });
  EXPECT_EQ(alone, 0);
}

// What a task asks of libtorch stays on its thread: the threads would wait for each other else.
// libtorch, MKL and oneDNN go by OpenMP's own account of whether they are called in parallel.
TEST_P(SideBySideTest, KeepsEachTaskOnItsThread) {
  std::atomic<int> free{0}, strangers{0};
  run_side_by_side(8, [&](std::int64_t) {
    const auto own = std::this_thread::get_id();
    if (GetParam() > 1 && !at::in_parallel_region()) ++free;
    run_side_by_side(8, [&](std::int64_t) {
      if (std::this_thread::get_id() != own) ++strangers;
    });
  });
  EXPECT_EQ(free, 0);
  EXPECT_EQ(strangers, 0);
}

// Five tasks do not keep four threads busy, but each uses one thread only.
TEST_P(SideBySideTest, RunsPlainTasksOnAsManyThreadsAsThereAre) {
  std::atomic<int> begun{0}, alone{0};
  run_single_threaded(GetParam() + 1, [&](std::int64_t i) {
    ++begun;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (begun < GetParam() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (i < GetParam() && begun < GetParam()) ++alone;
  });
  EXPECT_EQ(begun, GetParam() + 1);
  EXPECT_EQ(alone, 0);
}

TEST_P(SideBySideTest, RunsOneTaskOnOneThread) {
  bool alone = false;
  int runs = 0;
  run_on_one_thread([&] {
    alone = at::in_parallel_region() || at::get_num_threads() == 1;
    ++runs;
  });
  EXPECT_TRUE(alone);
  EXPECT_EQ(runs, 1);
  EXPECT_THROW(run_on_one_thread([] { throw std::runtime_error("task"); }), std::runtime_error);
}

TEST_P(SideBySideTest, LeavesTheThreadsToATaskThatIsAlone) {
  bool inside = true;
  run_side_by_side(1, [&](std::int64_t) { inside = at::in_parallel_region(); });
  EXPECT_FALSE(inside);
  EXPECT_EQ(at_once(1), 1);
  EXPECT_EQ(at_once(100), GetParam());
  EXPECT_EQ(at_once(GetParam() + 1), GetParam() > 2    ? 1
                                     : GetParam() == 2 ? 2
                                                       : 1)
      << "3 tasks on 2 threads fill 3/4 of their time, 5 on 4 threads 5/8";
}

TEST_P(SideBySideTest, ThrowsWhatTheFirstFailedTaskThrew) {
  try {
    run_side_by_side(40, [](std::int64_t i) {
      if (i % 10 == 7) throw std::runtime_error(std::to_string(i));
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "7");
  }
}

TEST_P(SideBySideTest, TasksComputeInTheModeOfTheirCaller) {
  const c10::InferenceMode mode;
  std::atomic<int> others{0};
  run_side_by_side(20, [&](std::int64_t) {
    if (!c10::InferenceMode::is_enabled()) ++others;
  });
  EXPECT_EQ(others, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, SideBySideTest, testing::Values(1, 2, 4));

class PiecesTest : public testing::Test {
 protected:
  PiecesTest() { at::set_num_threads(2); }
  ~PiecesTest() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_F(PiecesTest, BeginWithTheDearest) {
  std::atomic<int> begun{0};
  std::vector<int> place(4);
  std::vector<Work> pieces;
  for (const double cost : {1.0, 3.0, 2.0, 3.0})
    pieces.push_back({cost, [&, i = pieces.size()] {
                        place[i] = ++begun;
                        std::this_thread::sleep_for(std::chrono::milliseconds(50));
                      }});
  run_side_by_side(pieces);
  EXPECT_LE(place[1], 2) << "of the two dearest each begins one thread's work";
  EXPECT_LE(place[3], 2);
}

TEST_F(PiecesTest, RunInOrderWhereOneTakesNearlyAll) {
  std::string order;
  bool inside = false;
  std::vector<Work> pieces;
  for (const auto& [cost, name] : {std::pair(1.0, 'a'), {30.0, 'b'}, {2.0, 'c'}})
    pieces.push_back({cost, [&, name = name] {
                        order += name;
                        inside = inside || at::in_parallel_region();
                      }});
  run_side_by_side(pieces);
  EXPECT_EQ(order, "abc");
  EXPECT_FALSE(inside) << "all threads are to be inside the dear one";
}

}  // namespace
}  // namespace deadray
