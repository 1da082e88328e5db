#include "host/base/in_quotes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace deadray {

std::string on_one_line(std::string_view text, std::size_t most) {
  const bool cut = text.size() > most;
  if (cut) {
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    text = text.substr(0, most);
  }
  std::string line;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      line += c;
  }
  return cut ? line + "…" : line;
}

std::string in_quotes(std::string_view name) { return fmt::format("'{}'", on_one_line(name, 100)); }

std::string first_few(std::span<const std::string> names, std::size_t most) {
  std::vector<std::string> shown;
  for (const std::string& name : names.first(std::min(most, names.size())))
    shown.push_back(on_one_line(name, 100));
  const std::string line = fmt::format("{}", fmt::join(shown, ", "));
  return names.size() > most ? fmt::format("{} and {} more", line, names.size() - most) : line;
}

}  // namespace deadray
