#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace deadray {

/// The words of a JSON text, one after the other.
class JsonWords {
 public:
  explicit JsonWords(std::string_view text) : next_(text.data()), end_(next_ + text.size()) {}

  /// The next character that is no white space, which stays; '\0' at the end.
  char peek() noexcept {
    while (next_ != end_ && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t'))
      ++next_;
    return next_ != end_ ? *next_ : '\0';
  }
  bool at_end() noexcept { return peek() == '\0' && next_ == end_; }
  /// Takes `c` where it is next.
  bool take(char c) noexcept {
    if (peek() != c || next_ == end_) return false;
    ++next_;
    return true;
  }
  bool take_word(std::string_view word) noexcept;
  /// @param value  without quotes and escapes; holds until the next call
  bool take_string(std::string_view& value);
  /// @param value  of a number that is digits alone and below 2^64; else left as it is
  /// @param is_natural  whether it is such a number
  bool take_number(std::string_view& spelling, std::uint64_t& value, bool& is_natural) noexcept;

 private:
  bool take_escape();
  bool take_hex(char32_t& code) noexcept;
  bool take_digits() noexcept;

  const char* next_;
  const char* end_;
  std::string unescaped_;
};

/// Tells a handler what a JSON text holds, in its order, without a document in between and several
/// times faster than nlohmann's parser. It takes what RFC 8259 allows, in UTF-8 without a byte
/// order mark; a handler refuses more by throwing. Nesting is recursion: handlers bound it.
///
///     void null(), boolean(bool), natural(std::uint64_t), number(std::string_view spelling),
///          string(std::string_view), key(std::string_view), begin_object(), end_object(),
///          begin_array(), end_array()
///
/// Views hold until the handler returns. natural() has the numbers that are digits alone and below
/// 2^64, number() all others.
/// @return false where the text is no such JSON. Why, nlohmann's parser can tell: see
/// explain_json_error()
template <class Handler>
class JsonEvents {
 public:
  JsonEvents(std::string_view text, Handler& handler) : words_(text), handler_(handler) {}
  bool read() { return value() && words_.at_end(); }

 private:
  bool value() {
    switch (words_.peek()) {
      case '{':
        return object();
      case '[':
        return array();
      case '"': {
        std::string_view text;
        if (!words_.take_string(text)) return false;
        return handler_.string(text), true;
      }
      case 'n':
        return words_.take_word("null") && (handler_.null(), true);
      case 't':
        return words_.take_word("true") && (handler_.boolean(true), true);
      case 'f':
        return words_.take_word("false") && (handler_.boolean(false), true);
      default:
        return number();
    }
  }

  bool number() {
    std::string_view spelling;
    std::uint64_t value = 0;
    bool is_natural = false;
    if (!words_.take_number(spelling, value, is_natural)) return false;
    if (is_natural)
      handler_.natural(value);
    else
      handler_.number(spelling);
    return true;
  }

  bool object() {
    words_.take('{');
    handler_.begin_object();
    if (!words_.take('}')) {
      do {
        std::string_view name;
        if (words_.peek() != '"' || !words_.take_string(name)) return false;
        handler_.key(name);
        if (!words_.take(':') || !value()) return false;
      } while (words_.take(','));
      if (!words_.take('}')) return false;
    }
    return handler_.end_object(), true;
  }

  bool array() {
    words_.take('[');
    handler_.begin_array();
    if (!words_.take(']')) {
      do {
        if (!value()) return false;
      } while (words_.take(','));
      if (!words_.take(']')) return false;
    }
    return handler_.end_array(), true;
  }

  JsonWords words_;
  Handler& handler_;
};

/// JsonEvents in one call.
template <class Handler>
bool read_json_events(std::string_view text, Handler& handler) {
  return JsonEvents<Handler>(text, handler).read();
}

}  // namespace deadray
