#include "host/base/json/json_events.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <system_error>

#include "host/base/utf8.h"

namespace deadray {
namespace {

/// Of eight bytes at once, the high bit of each that does not stand for itself in a string: a
/// quote, a backslash, a control character, a byte of a longer UTF-8 character. Bytes after the
/// first such may be marked without reason.
std::uint64_t not_plain(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  const auto zeros = [](std::uint64_t x) { return (x - kOnes) & ~x; };
  const std::uint64_t quotes = zeros(bytes ^ kOnes * '"'), slashes = zeros(bytes ^ kOnes * '\\'),
                      controls = (bytes - kOnes * 0x20) & ~bytes;
  return (quotes | slashes | controls | bytes) & kHigh;
}

/// How many of the first bytes stand for themselves.
std::size_t count_plain(const char* text, std::size_t size) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t bytes;
    std::memcpy(&bytes, text + i, 8);
    if (const std::uint64_t marked = not_plain(bytes); marked != 0)
      return i + static_cast<std::size_t>(std::countr_zero(marked)) / 8;
  }
  for (; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '"' || byte == '\\' || byte < 0x20 || byte >= 0x80) break;
  }
  return i;
}

void append_utf8(std::string& text, char32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}

}  // namespace

bool JsonWords::take_word(std::string_view word) noexcept {
  if (!std::string_view(next_, end_).starts_with(word)) return false;
  next_ += word.size();
  return true;
}

bool JsonWords::take_string(std::string_view& value) {
  const char* run = ++next_;  // what was not yet copied begins here
  bool copied = false;
  unescaped_.clear();
  for (;;) {
    next_ += count_plain(next_, static_cast<std::size_t>(end_ - next_));
    if (next_ == end_) return false;
    if (*next_ == '"') break;
    if (*next_ == '\\') {
      unescaped_.append(run, next_);
      copied = true;
      ++next_;
      if (!take_escape()) return false;
      run = next_;
    } else if (const std::size_t length = first_character(std::string_view(next_, end_)).length;
               length > 1) {
      next_ += length;
    } else {
      return false;  // a control character, or no UTF-8
    }
  }
  value = std::string_view(run, next_++);
  if (copied) value = unescaped_.append(value);
  return true;
}

bool JsonWords::take_escape() {
  if (next_ == end_) return false;
  constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  const char c = *next_++;
  if (const std::size_t at = kEscapes.find(c); at != kEscapes.npos) {
    unescaped_ += kMeanings[at];
    return true;
  }
  char32_t code = 0, low = 0;
  if (c != 'u' || !take_hex(code)) return false;
  if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
    if (!take_word("\\u") || !take_hex(low) || low < 0xDC00 || low > 0xDFFF) return false;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code < 0xE000) {
    return false;
  }
  append_utf8(unescaped_, code);
  return true;
}

bool JsonWords::take_hex(char32_t& code) noexcept {
  if (end_ - next_ < 4) return false;
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(next_, next_ + 4, value, 16);
  if (error != std::errc() || stop != next_ + 4) return false;
  code = value;
  next_ += 4;
  return true;
}

bool JsonWords::take_digits() noexcept {
  const char* const first = next_;
  while (next_ != end_ && *next_ >= '0' && *next_ <= '9') ++next_;
  return next_ != first;
}

bool JsonWords::take_number(std::string_view& spelling, std::uint64_t& value,
                            bool& is_natural) noexcept {
  const char* const first = next_;
  const auto next_is = [&](char a, char b) {
    return next_ != end_ && (*next_ == a || *next_ == b);
  };
  if (next_is('-', '-')) ++next_;
  const char* const digits = next_;
  if (!take_digits() || (*digits == '0' && next_ - digits > 1)) return false;
  const char* const whole = next_;
  if (next_is('.', '.')) {
    ++next_;
    if (!take_digits()) return false;
  }
  if (next_is('e', 'E')) {
    ++next_;
    if (next_is('+', '-')) ++next_;
    if (!take_digits()) return false;
  }
  spelling = std::string_view(first, next_);
  is_natural =
      digits == first && whole == next_ && std::from_chars(first, next_, value).ec == std::errc();
  return true;
}

}  // namespace deadray
