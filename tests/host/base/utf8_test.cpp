#include "host/base/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace deadray {
namespace {

TEST(Utf8Test, ReadsTheFirstAndTheLastCharacterOfEachLength) {
  const struct {
    std::string_view text;
    char32_t code;
  } cases[] = {{std::string_view("\0", 1), 0},
               {"\x7f", 0x7F},
               {"\xC2\x80", 0x80},
               {"\xDF\xBF", 0x7FF},
               {"\xE0\xA0\x80", 0x800},
               {"\xEF\xBF\xBF", 0xFFFF},
               {"\xF0\x90\x80\x80", 0x10000},
               {"\xF4\x8F\xBF\xBF", 0x10FFFF}};
  for (const auto& [text, code] : cases) {
    const Utf8Character got = first_character(text);
    EXPECT_EQ(got.length, text.size());
    EXPECT_EQ(got.code, code);
  }
  EXPECT_EQ(first_character("γ = 1").code, U'γ');
  EXPECT_EQ(first_character("γ = 1").length, 2u);
}

TEST(Utf8Test, RefusesWhatIsIllFormed) {
  for (const std::string_view text :
       {"", "\x80", "\xBF", "\xFF",      // none, a continuation, no lead
        "\xC3", "\xE2\x82", "\xF0\x9F",  // cut off
        "\xC3(", "\xE2(\x80",            // no continuation
        "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",  // overlong
        "\xED\xA0\x80", "\xED\xBF\xBF",                              // surrogates
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80"})                     // beyond U+10FFFF
    EXPECT_EQ(first_character(text).length, 0u) << text.size();
}

}  // namespace
}  // namespace deadray
