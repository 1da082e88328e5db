#include "host/base/in_quotes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "host/base/utf8.h"

namespace deadray {

namespace {

/// Control characters from DEL on, marks that turn the direction of the text around them, and
/// Unicode's own line ends.
bool commands_terminal(char32_t code) noexcept {
  return (code >= 0x7F && code < 0xA0) || code == 0x61C || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

bool is_plain(unsigned char byte) noexcept { return byte >= 0x20 && byte < 0x7F; }

/// What a terminal would obey becomes \x1b or \u009b; `kept` stays.
std::string escaped(std::string_view text, std::string_view kept) {
  std::string shown;
  shown.reserve(text.size());
  for (;;) {
    const auto plain = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
    shown += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return shown;
    const auto [code, length] = first_character(text);
    if (length == 1 && kept.find(text[0]) != kept.npos)
      shown += text[0];
    else if (length == 0 || code < 0x20)
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    else if (commands_terminal(code))
      shown += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code));
    else
      shown += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

}  // namespace

std::string on_one_line(std::string_view text, std::size_t most) {
  const bool cut = text.size() > most;
  if (cut) {
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    text = text.substr(0, most);
  }
  const std::string line = escaped(text, "");
  return cut ? line + "…" : line;
}

std::string on_one_line(std::string_view text) { return on_one_line(text, text.npos); }

std::string in_lines(std::string_view text) { return escaped(text, "\n"); }

std::string in_quotes(std::string_view name) { return fmt::format("'{}'", on_one_line(name, 100)); }

std::string first_few(std::span<const std::string> names, std::size_t most) {
  std::vector<std::string> shown;
  for (const std::string& name : names.first(std::min(most, names.size())))
    shown.push_back(on_one_line(name, 100));
  const std::string line = fmt::format("{}", fmt::join(shown, ", "));
  return names.size() > most ? fmt::format("{} and {} more", line, names.size() - most) : line;
}

}  // namespace deadray
