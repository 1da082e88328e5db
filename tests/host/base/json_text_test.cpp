#include "host/base/json_text.h"

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>

#include "host/base/json/json_events.h"
#include "tests/support/errors.h"

namespace deadray::test {
namespace {

std::optional<nlohmann::json> parsed(const std::string& text) {
  try {
    return parse_json_object(text, "a.json");
  } catch (const MalformedError&) {
    return std::nullopt;
  }
}

/// nlohmann's own parser, the second opinion.
std::optional<nlohmann::json> expected(const std::string& text) {
  try {
    nlohmann::json json = nlohmann::json::parse(text);
    if (json.is_object()) return json;
  } catch (const nlohmann::json::exception&) {
    // No JSON.
  }
  return std::nullopt;
}

const std::string kText =
    R"({"null": null, "yes": true, "no": false, "empty": {}, "none": [], "":"",
  "numbers": [0, -0, 1, -17, 18446744073709551615, 18446744073709551616, -9223372036854775808,
    -9223372036854775809, 0.5, -1.25e-3, 1E5, 1e-400, 2e+3],
  "escapes": "\" \\ \/ \b \f \n \r \t \u0041 \u00e9 \u20AC \ud83d\ude00",
  "größe": "naïve – 日本語 😀", "nested": {"a": [{"b": [[], [1, [2]]]}]}})";

TEST(JsonTextTest, ReadsWhatNlohmannReads) {
  ASSERT_TRUE(expected(kText).has_value());
  EXPECT_EQ(parsed(kText), expected(kText));
  EXPECT_EQ(parsed("\xEF\xBB\xBF{}"), nlohmann::json::object()) << "a byte order mark";
  // Each length around the eight bytes that are looked at together, a special one at each place.
  for (std::size_t length = 0; length < 20; ++length)
    for (std::size_t at = 0; at < length; ++at)
      for (const std::string special : {"\\n", "é", "\x1f", "\xff", "\x80", "\\u00e9", "\\"}) {
        std::string word(length, 'x');
        word.replace(at, 1, special);
        const std::string text = "{\"" + word + "\": \"" + word + "\"}";
        EXPECT_EQ(parsed(text), expected(text)) << text;
      }
}

TEST(JsonTextTest, RefusesWhatNlohmannRefuses) {
  // A damaged text: some bytes replaced, removed or doubled. What remains JSON must read the same.
  // A key that became a second of its name is refused here alone, and what stands behind a zero
  // byte, or is no number to Python alone, is read otherwise on purpose.
  std::mt19937 generator(17);
  const std::string bytes = "{}[]\",:\\u0123456789eE+-.ntf \n\x1f\x80\xc3\xa9\xed\xf0";
  std::size_t refused = 0, read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = kText;
    for (int damage = 1 + i % 2; damage > 0; --damage) {
      const std::size_t at = generator() % text.size();
      const char byte = bytes[generator() % bytes.size()];
      switch (generator() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, 1, byte);
      }
    }
    ASSERT_EQ(parsed(text), expected(text)) << text;
    ++(parsed(text) ? read : refused);
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(read, 1000u);
}

TEST(JsonTextTest, RefusesAKeyThatIsThereTwice) {
  for (const char* text :
       {R"({"k": 1, "k": 2})", R"({"a": [{"k": 1, "j": 0, "k": 1}]})", R"({"k": 1, "\u006b": 2})"})
    EXPECT_TRUE(
        contains(message_of(ExitCode::malformed, [&] { parse_json_object(text, "a.json"); }),
                 "a.json: key 'k' is there twice in one object"));
}

TEST(JsonTextTest, BoundsNesting) {
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(parsed(nested(100)).has_value());
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed, [&] { parse_json_object(nested(100'000), "a.json"); }),
      "nested deeper than 100 levels"));
}

TEST(JsonTextTest, TellsAZeroByteBehindTheText) {
  EXPECT_TRUE(contains(message_of(ExitCode::malformed,
                                  [&] { parse_json_object(std::string("{}\0\0", 4), "a.json"); }),
                       "not JSON at line 1, column 3 (byte 2): unexpected byte 0x00"));
}

TEST(RecordTextTest, IsTheSameRecordWithoutWhatATerminalObeys) {
  const nlohmann::ordered_json record{{"b\x1b", "a\xc2\x9b\x7f\xe2\x80\xae γ"}, {"a", 1}};
  const std::string text = record_text(record);
  EXPECT_EQ(text, "{\n  \"b\\u001b\": \"a\\u009b\\u007f\\u202e γ\",\n  \"a\": 1\n}\n");
  EXPECT_EQ(nlohmann::ordered_json::parse(text), record);
}

}  // namespace
}  // namespace deadray::test
