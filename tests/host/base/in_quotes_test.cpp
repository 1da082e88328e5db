#include "host/base/in_quotes.h"

#include <gtest/gtest.h>

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

TEST(InQuotesTest, LeavesOtherTextAsItIs) {
  EXPECT_EQ(in_quotes("γ of 層 0"), "'γ of 層 0'");
  EXPECT_EQ(on_one_line("ααα", 3), "α…") << "cut between characters, not inside of one";
}

TEST(InQuotesTest, LeavesLineEndsWhereThereMayBeSeveral) {
  EXPECT_EQ(in_lines("a\r\nb\tc"), "a\\x0d\nb\\x09c");
}

}  // namespace
}  // namespace deadray
