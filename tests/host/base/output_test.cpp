#include "host/base/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

/// Standard output leads to a descriptor for as long as it lives.
class RedirectedOutput {
 public:
  explicit RedirectedOutput(int to) : before_(dup(STDOUT_FILENO)) { dup2(to, STDOUT_FILENO); }
  ~RedirectedOutput() {
    dup2(before_, STDOUT_FILENO);
    close(before_);
  }
  RedirectedOutput(const RedirectedOutput&) = delete;
  RedirectedOutput& operator=(const RedirectedOutput&) = delete;

 private:
  int before_;
};

struct Pipe {
  int ends[2];
  Pipe() { EXPECT_EQ(pipe(ends), 0); }
};

TEST(WriteOutputTest, WritesEveryByte) {
  Pipe pipe;
  {
    const RedirectedOutput redirected(pipe.ends[1]);
    write_output("a table\n");
  }
  close(pipe.ends[1]);
  char got[20];
  EXPECT_EQ(read(pipe.ends[0], got, sizeof got), 8);
  EXPECT_EQ(std::string(got, 8), "a table\n");
  close(pipe.ends[0]);
}

TEST(WriteOutputTest, SaysThatNobodyReads) {
  const auto before = signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  close(pipe.ends[0]);
  {
    const RedirectedOutput redirected(pipe.ends[1]);
    EXPECT_THROW(write_output("x"), ClosedPipe);
  }
  close(pipe.ends[1]);
  signal(SIGPIPE, before);
}

TEST(WriteOutputTest, SaysThatTheDiskIsFull) {
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  std::string message;
  {
    const RedirectedOutput redirected(full);
    message = message_of(ExitCode::resources, [] { write_output("x"); });
  }
  EXPECT_EQ(message, "standard output: No space left on device");
  close(full);
}

}  // namespace
}  // namespace deadray::test
