#include "host/command/run_program.h"

#include <gtest/gtest.h>

#include <csignal>
#include <new>
#include <stdexcept>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"

namespace deadray::test {
namespace {

TEST(RunProgramTest, MapsEveryEndToItsExitCode) {
  EXPECT_EQ(run_program([] { return 8; }), 8);
  EXPECT_EQ(run_program([]() -> int { throw UsageError("x"); }), 2);
  EXPECT_EQ(run_program([]() -> int { throw MalformedError("x"); }), 3);
  EXPECT_EQ(run_program([]() -> int { throw UnsupportedError("x"); }), 4);
  EXPECT_EQ(run_program([]() -> int { throw ResourceError("x"); }), 6);
  EXPECT_EQ(run_program([]() -> int { throw std::bad_alloc(); }), 6);
  EXPECT_EQ(run_program([]() -> int { throw std::logic_error("x"); }), 7);
  EXPECT_EQ(run_program([]() -> int { throw 3; }), 7);
  EXPECT_EQ(run_program([]() -> int { throw ClosedPipe{}; }), 141);
  EXPECT_EQ(run_program([]() -> int { throw Stopped{SIGINT}; }), 130);
}

}  // namespace
}  // namespace deadray::test
