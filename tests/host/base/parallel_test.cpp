#include "host/base/threads/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace deadray {
namespace {

TEST(ParallelTest, RunsEachTaskOnce) {
  for (const std::size_t threads : {0, 1, 2, 7})
    for (const std::size_t n : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> runs(n);
      run_parallel(n, threads, [&](std::size_t i) { ++runs[i]; });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
}

TEST(ParallelTest, ThrowsWhatTheFirstOfTheFailingTasksThrew) {
  for (const std::size_t threads : {1, 2, 4})
    for (int turn = 0; turn < 50; ++turn) {
      const auto task = [&](std::size_t i) {
        // The first to fail is the last to be done.
        if (i == 3) std::this_thread::sleep_for(std::chrono::microseconds(100));
        if (i >= 3) throw std::runtime_error(std::to_string(i));
      };
      try {
        run_parallel(100, threads, task);
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "3");
      }
    }
}

TEST(ParallelTest, StartsNoThreadForLittleWork) {
  EXPECT_EQ(threads_for(0, 10), 1U);
  EXPECT_EQ(threads_for(19, 10), 1U);
  EXPECT_GE(threads_for(1'000'000, 10), 1U);
  EXPECT_LE(threads_for(1'000'000, 10), std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace deadray
