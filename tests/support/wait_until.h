#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>

namespace deadray::test {

/// Waits until `happened` says so; a failure, in words, after `deadline`.
/// @param what  what is waited for: "the first record"
inline testing::AssertionResult wait_until(
    const std::string& what, const std::function<bool()>& happened,
    std::chrono::seconds deadline = std::chrono::seconds(120)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!happened()) {
    if (std::chrono::steady_clock::now() > end)
      return testing::AssertionFailure()
             << "waited " << deadline.count() << " s in vain for " << what;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return testing::AssertionSuccess();
}

}  // namespace deadray::test
