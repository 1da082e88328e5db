#include "tests/simt/simt.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

// The emulation itself: what it lets through, the kernels' tests cannot see.
namespace deadray::simt {
namespace {

TEST(SimtTest, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<int> runs(3 * 2 * 70);
  run({3, 2}, {10, 7}, 0,
      [&] { ++runs[(blockIdx.y * 3 + blockIdx.x) * 70 + threadIdx.y * 10 + threadIdx.x]; });
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
}

TEST(SimtTest, BarrierOrdersWritesBeforeReads) {
  std::vector<int> seen(100);
  run({1}, {100}, 100 * sizeof(int), [&] {
    int* const shared = static_cast<int*>(dynamic_shared());
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncthreads();
    seen[threadIdx.x] = shared[99 - threadIdx.x];
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], 99 - i);
}

// Negative control: the same without the barrier reads what nothing has written, in whatever order
// the threads ran.
TEST(SimtTest, MissingBarrierShows) {
  std::vector<int> seen(100);
  run({1}, {100}, 100 * sizeof(int), [&] {
    int* const shared = static_cast<int*>(dynamic_shared());
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    seen[threadIdx.x] = shared[99 - threadIdx.x];
  });
  int stale = 0;
  for (int i = 0; i < 100; ++i) stale += seen[static_cast<std::size_t>(i)] != 99 - i;
  EXPECT_GT(stale, 10);
}

TEST(SimtTest, OrderOfThreadsChanges) {
  std::set<std::vector<unsigned>> orders;
  for (int repetition = 0; repetition < 5; ++repetition) {
    std::vector<unsigned> order;
    run({1}, {16}, 0, [&] { order.push_back(threadIdx.x); });
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 5u);
}

TEST(SimtTest, ButterflySumsAWarpInEveryLane) {
  std::vector<double> sums(96);
  run({1}, {96}, 0, [&] {
    double value = threadIdx.x;
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    sums[threadIdx.x] = value;
  });
  for (int i = 0; i < 96; ++i)
    EXPECT_EQ(sums[static_cast<std::size_t>(i)], 496 + 1024 * (i / 32)) << i;
}

TEST(SimtTest, ThreadsThatHaveLeftDoNotHoldABarrier) {
  int after = 0;
  run({1}, {64}, 0, [&] {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    ++after;
  });
  EXPECT_EQ(after, 40);
}

TEST(SimtDeathTest, WaitThatCannotEndAborts) {
  EXPECT_DEATH(run({1}, {32}, 0,
                   [] {
                     // The mask says all 32.
                     if (threadIdx.x < 16) __shfl_xor_sync(0xffffffffu, 0, 1);
                   }),
               "cannot go on: 0 threads at a barrier, 16 in an exchange of a warp, 16 done");
}

}  // namespace
}  // namespace deadray::simt
