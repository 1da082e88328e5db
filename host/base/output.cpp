#include "host/base/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
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

}  // namespace

void write_output(std::string_view text) { write_whole(for_terminal(text)); }

void write_message(std::string_view text) {
  constexpr std::size_t kMost = 10'000;
  // Not fmt::print: it throws, and this is often called out of a catch block.
  const std::string line = on_one_line(text, kMost) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace deadray
