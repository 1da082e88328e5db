#include "host/base/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>

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

/// What a text becomes on its way to standard output.
std::string written(std::string_view text) {
  Pipe pipe;
  {
    const RedirectedOutput redirected(pipe.ends[1]);
    write_output(text);
  }
  close(pipe.ends[1]);
  char got[200];
  const ssize_t count = read(pipe.ends[0], got, sizeof got);
  close(pipe.ends[0]);
  return {got, static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

TEST(WriteOutputTest, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(written("a\x1b]8;;x\x07\r\nb\x1b[31m\n"), "a\\x1b]8;;x\\x07\\x0d\nb\\x1b[31m\n");
  EXPECT_EQ(written("\xc2\x9b"
                    "2J \xe2\x80\xae \x9b"),
            "\\u009b2J \\u202e \\x9b");
}

TEST(WriteOutputTest, LetsItsOwnBoldThrough) {
  EXPECT_EQ(written("\033[1mnorm\033[0m\nγ \033[1\n"), "\033[1mnorm\033[0m\nγ \\x1b[1\n");
}

TEST(WriteMessageTest, IsOneLineOfABoundedLength) {
  testing::internal::CaptureStderr();
  write_message("a\n\x1b[31m" + std::string(1'000'000, 'b'));
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(line.starts_with("a\\x0a\\x1b[31mbbb")) << line.substr(0, 40);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_LT(line.size(), 10'100u);
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
