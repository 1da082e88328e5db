#include "host/base/output.h"

#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "host/base/error.h"

namespace deadray {

void write_output(std::string_view text) {
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

void write_message(std::string_view text) noexcept { write_message_of({text}); }

void write_message_of(std::initializer_list<std::string_view> parts) noexcept {
  std::array<iovec, 8> pieces;
  int left = 0;
  const auto add = [&](std::string_view part) {
    pieces[static_cast<std::size_t>(left++)] = {const_cast<char*>(part.data()), part.size()};
  };
  for (const std::string_view part : parts)
    if (left + 1 < std::ssize(pieces)) add(part);
  add("\n");
  for (iovec* next = pieces.data(); left > 0;) {
    const ssize_t count = ::writev(STDERR_FILENO, next, left);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return;
    auto written = static_cast<std::size_t>(count);
    for (; left > 0 && written >= next->iov_len; ++next, --left) written -= next->iov_len;
    if (left > 0) *next = {static_cast<char*>(next->iov_base) + written, next->iov_len - written};
  }
}

}  // namespace deadray
