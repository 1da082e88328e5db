#include "host/formats/pytorch/pickle_bytes.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/formats/damaged.h"

namespace deadray {
namespace {

constexpr std::uint64_t kFirstRead = 512, kLongestLine = 1000;

}  // namespace

PickleBytes::PickleBytes(const InputFile& file, std::uint64_t begin, std::uint64_t end,
                         std::uint64_t most)
    : file_(file), begin_(begin), end_(end), most_(most) {}

PickleBytes::PickleBytes(const InputFile& file, std::uint64_t begin, std::string text)
    : file_(file),
      begin_(begin),
      end_(begin + text.size()),
      most_(text.size()),
      buffer_(std::move(text)) {}

void PickleBytes::hold(std::uint64_t count) {
  if (count <= buffer_.size() - at_) return;
  if (count > end_ - begin_ - at_)
    throw MalformedError(fmt::format(
        "{}: pickle ends at byte {}, bytes {} to {} + {} were expected: truncated, fetch it again",
        file_.path().string(), end_, place(), place(), count));
  const std::uint64_t needed = at_ + count;
  if (needed > most_)
    throw MalformedError(
        fmt::format("{}: pickle of more than {} bytes (limit {} MB; --max-header to raise)",
                    file_.path().string(), most_, static_cast<double>(most_) / 1e6));
  const std::uint64_t held = buffer_.size();
  const std::uint64_t wanted =
      std::min({std::max({needed, 2 * held, kFirstRead}), most_, end_ - begin_});
  buffer_.resize(wanted);
  file_.read(begin_ + held, wanted - held, buffer_.data() + held);
}

std::string_view PickleBytes::take(std::uint64_t count) {
  hold(count);
  return text(std::exchange(at_, at_ + count), count);
}

std::string_view PickleBytes::take_line() {
  for (std::uint64_t length = 1; length <= kLongestLine; ++length) {
    hold(length);
    if (buffer_[at_ + length - 1] == '\n') {
      const std::uint64_t begin = std::exchange(at_, at_ + length);
      return text(begin, length - 1);
    }
  }
  throw MalformedError(
      fmt::format("{}: pickle has at byte {} a line of more than {} characters: {}",
                  file_.path().string(), place(), kLongestLine, kDamaged));
}

}  // namespace deadray
