#include "host/base/stop_signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

namespace deadray {
namespace {

/// Waits for the thread that takes the signals, at most a minute.
std::optional<int> wait_for_stop() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!stop_asked_for() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return stop_asked_for();
}

// One test: the signals of a process are caught once and for all.
TEST(StopSignalsTest, KeepTheFirstForTheProgram) {
  catch_stop_signals();
  EXPECT_EQ(stop_asked_for(), std::nullopt);
  EXPECT_NO_THROW(throw_if_stopped());
  kill(getpid(), SIGTERM);
  ASSERT_EQ(wait_for_stop(), SIGTERM);
  try {
    throw_if_stopped();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Stopped& stopped) {
    EXPECT_EQ(stopped.signal, SIGTERM);
  }
}

TEST(StopSignalsDeathTest, ASecondSignalEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the child has no thread of ours
  EXPECT_EXIT(
      {
        catch_stop_signals();
        kill(getpid(), SIGINT);
        wait_for_stop();
        kill(getpid(), SIGINT);
        std::this_thread::sleep_for(std::chrono::minutes(1));
      },
      ::testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace deadray
