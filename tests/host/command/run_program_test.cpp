#include "host/command/run_program.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

TEST(RunProgramTest, MapsEveryEndToItsExitCode) {
  EXPECT_EQ(run_program([] { return 8; }), 8);
  EXPECT_EQ(run_program([]() -> int { throw UsageError("x"); }), 2);
  EXPECT_EQ(run_program([]() -> int { throw MalformedError("x"); }), 3);
  EXPECT_EQ(run_program([]() -> int { throw UnsupportedError("x"); }), 4);
  EXPECT_EQ(run_program([]() -> int { throw ResourceError("x"); }), 6);
  EXPECT_EQ(run_program([]() -> int { throw std::bad_alloc(); }), 6);
  EXPECT_EQ(run_program([]() -> int {
              throw std::system_error(std::make_error_code(std::errc::not_enough_memory));
            }),
            6);
  EXPECT_EQ(run_program([]() -> int { throw std::logic_error("x"); }), 7);
  EXPECT_EQ(run_program([]() -> int { throw 3; }), 7);
  EXPECT_EQ(run_program([]() -> int { throw ClosedPipe{}; }), 141);
  EXPECT_EQ(run_program([]() -> int { throw Stopped{SIGINT}; }), 130);
}

TEST(RunProgramDeathTest, SaysOneLineWithoutMemoryOfItsOwn) {
  EXPECT_EXIT(std::_Exit(run_program([]() -> int { throw std::bad_alloc(); })),
              testing::ExitedWithCode(6), "^deadray: not enough memory: free some of it[^\n]*\n$");
  EXPECT_EXIT(std::_Exit(run_program([]() -> int { throw std::runtime_error("a\nb"); })),
              testing::ExitedWithCode(7), "^deadray: internal error: a; this[^\n]*report it\n$");
}

/// As in a thread of a library.
TEST(RunProgramDeathTest, EndsAnExceptionThatNobodyCatchesLikeOneThatItDoes) {
  const auto throw_in_a_thread = [](auto error) {
    return run_program([&]() -> int {
      std::jthread([&] { throw error; }).join();
      return 0;
    });
  };
  EXPECT_EXIT(throw_in_a_thread(std::bad_alloc()), testing::ExitedWithCode(6),
              "^deadray: not enough memory[^\n]*\n$");
  EXPECT_EXIT(throw_in_a_thread(MalformedError("x: cut off")), testing::ExitedWithCode(3),
              "^deadray: x: cut off\n$");
  EXPECT_EXIT(throw_in_a_thread(std::logic_error("x")), testing::ExitedWithCode(7),
              "^deadray: internal error: x");
}

/// As in functions of the C++ library that say noexcept and take memory.
TEST(RunProgramDeathTest, EndsForMemoryWhateverTerminates) {
  EXPECT_EXIT(run_program([]() -> int {
                try {
                  std::get_new_handler()();  // as operator new does
                } catch (const std::bad_alloc&) {
                }
                std::terminate();
              }),
              testing::ExitedWithCode(6), "^deadray: not enough memory[^\n]*\n$");
}

TEST(RunProgramDeathTest, AnEndWithoutDestructorsLeavesNoHalfFile) {
  const TemporaryFolder folder;
  const auto end_while_writing = [&](auto end) {
    return run_program([&]() -> int {
      AtomicFile done(folder / "done"), half(folder / "half");
      done.commit();
      end();
      return 0;
    });
  };
  EXPECT_EXIT(end_while_writing([] { std::exit(1); }), testing::ExitedWithCode(6), "^$");
  EXPECT_EXIT(end_while_writing([] { std::terminate(); }), testing::ExitedWithCode(7),
              "terminated");
  EXPECT_TRUE(fs::exists(folder / "done"));
  EXPECT_EQ(folder.n_entries(), 1u);
}

/// libgomp does so where it lacks memory, with 1.
TEST(RunProgramDeathTest, ALibraryThatEndsTheProgramLacksResources) {
  EXPECT_EXIT(run_program([]() -> int { std::exit(1); }), testing::ExitedWithCode(6), "^$");
  EXPECT_EXIT(std::exit(run_program([] { return 1; })), testing::ExitedWithCode(1), "^$");
}

}  // namespace
}  // namespace deadray::test
