#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "host/base/utf8.h"

// Text that a terminal would obey, and whether it got through.
namespace deadray::test {

/// Colours, a link (OSC 8), the bell, the one-character form of ESC [, line ends, DEL, marks that
/// turn the direction of text.
inline const std::string kHostile =
    "e\x1b[31m\x1b]8;;http://x\x07"
    "L\xc2\x9b"
    "2J\r\nN\xe2\x80\xae"
    "B\x7f"
    "D\xe2\x80\xa8Z\xe2\x80\x8fM\xd8\x9cQ";

/// The same as a JSON string holds it, with what JSON allows there bare.
inline const std::string kHostileInJson =
    "e\\u001b[31m\\u001b]8;;http://x\\u0007L\xc2\x9b"
    "2J\\r\\nN\xe2\x80\xae"
    "B\x7f"
    "D\xe2\x80\xa8Z\xe2\x80\x8fM\xd8\x9cQ";

/// Written out here again, by the standards and not by the code under test: control characters of
/// ASCII and of Latin-1, line and paragraph separators, bidirectional controls.
inline bool is_command(char32_t code) {
  if (code < 0x20) return code != '\n';
  constexpr char32_t kDirection[] = {0x061C, 0x200E, 0x200F, 0x2028, 0x2029, 0x202A, 0x202B,
                                     0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069};
  for (const char32_t mark : kDirection)
    if (code == mark) return true;
  return code >= 0x7F && code <= 0x9F;
}

/// Whether a terminal may show the text: UTF-8 without commands but line ends.
inline ::testing::AssertionResult is_harmless(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = first_character(text.substr(at));
    if (length == 0 || is_command(code))
      return ::testing::AssertionFailure()
             << "byte " << at << " (code " << static_cast<unsigned>(code) << ") of: " << text;
    at += length;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace deadray::test
