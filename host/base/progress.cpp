#include "host/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "host/base/in_quotes.h"

namespace deadray {

Progress::Progress(std::string what, bool quiet) : what_(std::move(what)) {
  const char* terminal = std::getenv("TERM");
  enabled_ = !quiet && isatty(STDERR_FILENO) == 1 && terminal != nullptr &&
             std::string_view(terminal) != "dumb";
}

void Progress::show(std::int64_t done, std::int64_t total) {
  const double each = watch_.seconds() / static_cast<double>(done);
  show(fmt::format("{} of {}", done, total),
       done > 0 ? std::optional(each * static_cast<double>(total - done)) : std::nullopt);
}

void Progress::show(std::string_view where, std::optional<double> left) {
  if (!enabled_) return;
  std::string line = fmt::format("\r\033[K{} {}", on_one_line(what_), on_one_line(where));
  if (left) line += fmt::format(", {:.0f} s left", *left);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace deadray
