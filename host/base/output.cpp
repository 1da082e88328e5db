#include "host/base/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// The first of kBold and kPlain in a text; npos where there is none.
std::size_t find_style(std::string_view text) {
  return std::min(text.find(kBold), text.find(kPlain));
}

std::string for_terminal(std::string_view text) {
  std::string shown;
  for (std::size_t style; (style = find_style(text)) != text.npos;) {
    static_assert(kBold.size() == kPlain.size());
    shown += in_lines(text.substr(0, style));
    shown += text.substr(style, kBold.size());
    text.remove_prefix(style + kBold.size());
  }
  return shown + in_lines(text);
}

void write_whole(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      throw ClosedPipe{};
    } else if (errno != EINTR) {
      throw ResourceError(fmt::format("standard output: {}", std::strerror(errno)));
    }
  }
}

/// On standard error. Failures there are nobody's concern.
void write_error(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// Takes no memory.
void write_error_in_ascii(std::string_view text) noexcept {
  std::array<char, 256> piece;
  while (!text.empty()) {
    const std::size_t count = std::min(text.size(), piece.size());
    std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count), piece.begin(),
                   [](char c) { return c >= ' ' && c <= '~' ? c : '?'; });
    write_error({piece.data(), count});
    text.remove_prefix(count);
  }
}

}  // namespace

void write_output(std::string_view text) { write_whole(for_terminal(text)); }

void write_message(std::string_view text) noexcept { write_message_of({text}); }

void write_message_of(std::initializer_list<std::string_view> parts) noexcept {
  constexpr std::size_t kMost = 10'000;
  try {
    std::string line;
    for (const std::string_view part : parts) line += part;
    write_error(on_one_line(line, kMost) + "\n");
  } catch (const std::bad_alloc&) {
    for (const std::string_view part : parts) write_error_in_ascii(part.substr(0, kMost));
    write_error("\n");
  }
}

}  // namespace deadray
