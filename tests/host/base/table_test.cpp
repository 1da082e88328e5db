#include "host/base/table/table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace deadray {
namespace {

/// An environment variable with another value (nullopt: unset) until the end of the scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, std::optional<std::string> value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~ScopedVariable() { set(old_); }

 private:
  void set(const std::optional<std::string>& value) {
    value ? setenv(name_, value->c_str(), 1) : unsetenv(name_);
  }
  const char* name_;
  std::optional<std::string> old_;
};

TEST(DisplayWidthTest, CountsWhatATerminalShows) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("ln_f.weight"), 11U);
  EXPECT_EQ(display_width("|γ| ≤ τ…"), 8U);
  EXPECT_EQ(display_width("層"), 2U);
  EXPECT_EQ(display_width("e\u0301"), 1U);  // a combining accent
  EXPECT_EQ(display_width("a\xC3"), 2U);  // cut in the middle of a character: no read past the end
}

TEST(TableTest, ShowsACellOnOneLine) {
  Table table({{"norm"}});
  table.add_row({"a\nforged\x1b[2J"});
  EXPECT_EQ(table.render(), "norm\na\\x0aforged\\x1b[2J\n");
}

TEST(TableTest, AlignsColumnsWhateverTheBytes) {
  Table table({{"norm"}, {"γ", Align::right}, {"why"}});
  table.add_row({"ln_1", "0.5…2", "ok"});
  table.add_row({"transformer.ln_f", "–", ""});
  EXPECT_EQ(table.render(),
            "norm                  γ  why\n"
            "ln_1              0.5…2  ok\n"
            "transformer.ln_f      –\n");
}

TEST(TableTest, ColourAddsNothingButTheTitlesWeight) {
  Table table({{"a"}, {"b"}});
  table.add_row({"1", "2"});
  EXPECT_EQ(table.render(true), "\033[1ma  b\033[0m\n1  2\n");
  EXPECT_EQ(table.render(false).find('\033'), std::string::npos);
}

TEST(TableTest, RejectsRowsOfAnotherLength) {
  EXPECT_THROW(Table({{"a"}, {"b"}}).add_row({"1"}), std::invalid_argument);
}

TEST(ColourTest, NeedsATerminalAndNoRefusal) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const ScopedVariable term("TERM", "xterm");
  {
    const ScopedVariable no_color("NO_COLOR", std::nullopt), force("CLICOLOR_FORCE", std::nullopt);
    EXPECT_FALSE(colour_allowed(ends[1], false)) << "a pipe is no terminal";
  }
  {
    const ScopedVariable no_color("NO_COLOR", std::nullopt), force("CLICOLOR_FORCE", "1");
    EXPECT_TRUE(colour_allowed(ends[1], false));
    EXPECT_FALSE(colour_allowed(ends[1], true)) << "--no-color wins over CLICOLOR_FORCE";
  }
  {
    const ScopedVariable no_color("NO_COLOR", "1"), force("CLICOLOR_FORCE", "1");
    EXPECT_FALSE(colour_allowed(ends[1], false)) << "NO_COLOR wins over CLICOLOR_FORCE";
  }
  {
    const ScopedVariable no_color("NO_COLOR", ""), force("CLICOLOR_FORCE", "0");
    EXPECT_FALSE(colour_allowed(ends[1], false)) << "CLICOLOR_FORCE=0 forces nothing";
  }
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace deadray
