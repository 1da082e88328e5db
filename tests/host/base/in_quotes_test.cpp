#include "host/base/in_quotes.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/hostile_text.h"

namespace deadray {
namespace {

// Names come from files. None may move the cursor, turn the text around or end the line.
TEST(InQuotesTest, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(in_quotes("a\x1b[31mb\n"), "'a\\x1b[31mb\\x0a'");
  EXPECT_EQ(in_quotes("a\xc2\x9b"
                      "31m"),
            "'a\\u009b31m'");
  EXPECT_EQ(in_quotes("\x9b\xff"), "'\\x9b\\xff'") << "bytes that are no text";
  EXPECT_EQ(in_quotes("\xe2\x80\xae"), "'\\u202e'") << "turns the direction of what follows";
  EXPECT_EQ(in_quotes("\x7f\xe2\x80\x8f\xd8\x9c\xe2\x80\xa8"), "'\\u007f\\u200f\\u061c\\u2028'");
}

TEST(InQuotesTest, LeavesNothingForATerminalInAnyBytes) {
  std::mt19937 generator(1);
  for (int run = 0; run < 20'000; ++run) {
    std::string text(generator() % 12, '\0');
    // Half of them the bytes that hostile characters are made of.
    for (char& c : text)
      c = generator() % 2 == 0 ? static_cast<char>(generator())
                               : "\x1b\xc2\x9b\xe2\x80\xae\xd8\x9c\n\r\x7f"[generator() % 11];
    const std::string line = on_one_line(text), lines = in_lines(text);
    ASSERT_TRUE(test::is_harmless(line)) << run;
    ASSERT_TRUE(test::is_harmless(lines)) << run;
    ASSERT_EQ(line.find('\n'), line.npos) << run;
    ASSERT_EQ(on_one_line(line), line) << run;
  }
}

TEST(InQuotesTest, LeavesOtherTextAsItIs) {
  EXPECT_EQ(in_quotes("γ of 層 0"), "'γ of 層 0'");
  EXPECT_EQ(on_one_line("ααα", 3), "α…") << "cut between characters, not inside of one";
}

TEST(InQuotesTest, LeavesLineEndsWhereThereMayBeSeveral) {
  EXPECT_EQ(in_lines("a\r\nb\tc"), "a\\x0d\nb\\x09c");
}

}  // namespace
}  // namespace deadray
