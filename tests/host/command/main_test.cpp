#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "host/base/error.h"
#include "host/base/version.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

namespace deadray::test {
namespace {

/// `deadray` on small models; each test has a folder of its own.
class DeadrayTest : public ::testing::Test {
 protected:
  std::string model() const { return folder_.path().string(); }

  TemporaryFolder folder_;
};

TEST_F(DeadrayTest, HelpNamesEverySubcommandAndTheVersionIsOneLine) {
  Spawned help({"--help"});
  EXPECT_EQ(help.wait(), 0);
  for (const char* command : {"predict", "verify", "fisher", "suite", "bench", "models", "convert"})
    EXPECT_NE(help.output().find(std::string("\n  ") + command), std::string::npos)
        << help.output();
  Spawned version_run({"--version"});
  EXPECT_EQ(version_run.output(), "deadray " + std::string(version()) + "\n");
  EXPECT_EQ(version_run.wait(), 0);
}

TEST_F(DeadrayTest, TellsHowToBuildTheHeavyProgramWhenItIsMissing) {
  // A copy in a folder of its own has no deadray-verify beside it.
  std::filesystem::copy_file(DEADRAY_BIN "/deadray", folder_ / "deadray");
  for (const char* command : {"verify", "bench"}) {
    Spawned run({command, "x"}, -1, folder_ / "deadray");
    EXPECT_EQ(run.wait(), 6);
    EXPECT_NE(run.errors().find("deadray-verify"), std::string::npos);
    EXPECT_NE(run.errors().find("cmake"), std::string::npos);
  }
}

TEST_F(DeadrayTest, PassesHeavySubcommandsOnUnchanged) {
  std::filesystem::copy_file(DEADRAY_BIN "/deadray", folder_ / "deadray");
  write_text(folder_ / "deadray-verify", "#!/bin/sh\nprintf '%s|' \"$@\"\nexit 8\n");
  std::filesystem::permissions(folder_ / "deadray-verify", std::filesystem::perms::owner_all);
  Spawned run({"verify", "some model", "--tokens", "*"}, -1, folder_ / "deadray");
  EXPECT_EQ(run.wait(), 8);
  EXPECT_EQ(run.output(), "verify|some model|--tokens|*|");
}

TEST_F(DeadrayTest, NamesTheNearestOptionOrSubcommand) {
  expect_failure(ExitCode::usage, {"predict", model(), "--qiet"}, {"--qiet", "--quiet"});
  expect_failure(ExitCode::usage, {"predict", model(), "--sites=all"}, {"--sites", "--site"});
  expect_failure(ExitCode::usage, {"predicct", model()}, {"predicct", "predict"});
  expect_failure(ExitCode::usage, {}, {"subcommand"});
  expect_failure(ExitCode::usage, {"predict"}, {"model", "--help"});
  expect_failure(ExitCode::usage, {"models", "another"}, {"unexpected argument another"});
  expect_failure(ExitCode::usage, {"predict", model(), "--tau", "much"}, {"--tau"});
  expect_failure(ExitCode::usage, {"predict", model(), "--tau", "-1"}, {"--tau"});
  expect_failure(ExitCode::usage, {"predict", model(), "--max-header", "-1"},
                 {"--max-header", "-1"});
}

TEST_F(DeadrayTest, SaysThatTheDiskIsFull) {
  write_small_gpt2(model());
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"predict", model()},
                                                    {"predict", model(), "--json", "-"},
                                                    {"--help"}}) {
    Spawned run(arguments, full);
    EXPECT_EQ(run.wait(), 6);
    EXPECT_EQ(run.errors(), "deadray: standard output: No space left on device\n");
  }
  close(full);
}

TEST_F(DeadrayTest, KeepsItsExitCodeWhenStandardErrorCannotBeWritten) {
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  EXPECT_EQ(Spawned({"predict", "/nowhere"}, -1, DEADRAY_BIN "/deadray", full).wait(), 2);
  write_small_gpt2(model());
  EXPECT_EQ(
      Spawned({"predict", model(), "--norm", "layernorm"}, -1, DEADRAY_BIN "/deadray", full).wait(),
      0);  // has a note to tell
  close(full);
}

TEST_F(DeadrayTest, EndsQuietlyWhenNobodyReads) {
  write_small_gpt2(model());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  Spawned killed({"predict", model()}, ends[1]);
  EXPECT_EQ(killed.wait(), 141);
  EXPECT_EQ(killed.errors(), "");
  const auto before = signal(SIGPIPE, SIG_IGN);  // inherited: the write then fails instead
  Spawned told({"predict", model()}, ends[1]);
  EXPECT_EQ(told.wait(), 141);
  EXPECT_EQ(told.errors(), "");
  signal(SIGPIPE, before);
  close(ends[1]);
}

class DeadraySignalTest : public DeadrayTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(StopSignals, DeadraySignalTest, ::testing::Values(SIGINT, SIGTERM));

TEST_P(DeadraySignalTest, EndsAtOnceWith128PlusTheSignal) {
  write_small_gpt2(model());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  const std::string filler(4096, 'x');
  while (write(ends[1], filler.data(), filler.size()) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  Spawned run({"predict", model()}, ends[1]);  // blocks on the full pipe
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(run.process(), GetParam());
  EXPECT_EQ(run.wait(), 128 + GetParam());
  EXPECT_EQ(run.errors(), "");
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace deadray::test
