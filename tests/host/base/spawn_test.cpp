#include "host/base/process/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

int status_of(const std::string& script, const SpawnOptions& options = {}) {
  return wait_for_end(spawn("/bin/sh", {"sh", "-c", script}, options));
}

TEST(SpawnTest, HandsItsDescriptorsToTheChild) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(status_of("cat; echo lost; echo kept >&2", {{{STDIN_FILENO, Descriptor::kNowhere},
                                                         {STDOUT_FILENO, Descriptor::kNowhere},
                                                         {STDERR_FILENO, ends[1]}}}),
            0);
  close(ends[1]);
  char bytes[16] = {};
  EXPECT_EQ(read(ends[0], bytes, sizeof bytes), 5);
  EXPECT_STREQ(bytes, "kept\n");
  close(ends[0]);
}

// A thread that has blocked the stop signals, as one that leaves them to another thread has, must
// not make children that nothing stops.
TEST(SpawnTest, TheChildHasNoSignalBlocked) {
  sigset_t stop, before;
  sigemptyset(&stop), sigaddset(&stop, SIGTERM), sigaddset(&stop, SIGINT);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &stop, &before), 0);
  const int status = status_of("kill -TERM $$; exit 7");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST(SpawnTest, AGroupOfItsOwnIsNotOurs) {
  const pid_t child = spawn("/bin/sh", {"sh", "-c", "exec sleep 5"}, {{}, /*own_group=*/true});
  EXPECT_EQ(getpgid(child), child);
  kill(child, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(wait_for_end(child)));
}

TEST(SpawnTest, NamesTheProgramThatCannotBeStarted) {
  const std::string message =
      message_of(ExitCode::resources, [] { spawn("/no/such/program", {"program"}, {}); });
  EXPECT_TRUE(contains(message, "/no/such/program"));
  EXPECT_TRUE(contains(message, "No such file"));
}

}  // namespace
}  // namespace deadray::test
