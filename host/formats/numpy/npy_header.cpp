#include "host/formats/numpy/npy_header.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMaxHeaderBytes = 1'000'000;

/// The keys that a header has so far.
struct Fields {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Reads the Python dictionary that a .npy header is: string keys; strings, booleans, tuples of
/// integers and lists as values.
class DictReader {
 public:
  DictReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  void read_into(Fields& header) {
    expect('{');
    while (!accept('}')) {
      const std::string key = read_string();
      expect(':');
      if (key == "descr")
        header.descr = peek() == '[' ? read_brackets() : read_string();
      else if (key == "fortran_order")
        header.fortran_order = read_boolean();
      else if (key == "shape")
        header.shape = read_tuple();
      else
        fail(fmt::format("key {}", in_quotes(key)), "descr, fortran_order and shape alone");
      if (!accept(',') && peek() != '}') fail_here("',' or '}'");
    }
  }

 private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail_here(fmt::format("'{}'", wanted));
  }
  std::string read_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail_here("a string");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) fail_here("the end of a string");
    const std::size_t begin = std::exchange(at_, end + 1) + 1;
    return std::string(text_.substr(begin, end - begin));
  }
  std::string read_brackets() {
    const std::size_t begin = at_;
    int depth = 0;
    do {
      if (at_ == text_.size()) fail_here("']'");
      depth += text_[at_] == '[' ? 1 : text_[at_] == ']' ? -1 : 0;
      ++at_;
    } while (depth > 0);
    return std::string(text_.substr(begin, at_ - begin));
  }
  bool read_boolean() {
    peek();
    for (const auto& [word, value] :
         {std::pair{std::string_view("True"), true}, {std::string_view("False"), false}})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    fail_here("True or False");
  }
  std::vector<std::int64_t> read_tuple() {
    std::vector<std::int64_t> numbers;
    expect('(');
    while (!accept(')')) {
      peek();
      std::int64_t number = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
      if (error != std::errc() || number < 0) fail_here("a non-negative integer");
      at_ = static_cast<std::size_t>(end - text_.data());
      numbers.push_back(number);
      if (!accept(',') && peek() != ')') fail_here("',' or ')'");
    }
    return numbers;
  }
  [[noreturn]] void fail_here(std::string_view expected) {
    fail(in_quotes(text_.substr(std::min(at_, text_.size()), 20)), expected);
  }
  [[noreturn]] void fail(std::string_view found, std::string_view expected) {
    throw MalformedError(fmt::format("{}: header has {} at character {}, expected {}: {}", where_,
                                     found, at_, expected, kSaveAgain));
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

NpyHeader read_npy_header(const InputFile& file, std::uint64_t begin, std::uint64_t end,
                          const std::string& where) {
  const std::uint64_t size = end - begin;
  if (size < 10)
    throw MalformedError(
        fmt::format("{}: too short: {} bytes, need at least 10: {}", where, size, kSaveAgain));
  char lead[12] = {};
  file.read(begin, size < sizeof(lead) ? 10 : sizeof(lead), lead);
  if (std::string_view(lead, kMagic.size()) != kMagic)
    throw MalformedError(fmt::format(
        "{}: begins with {}, expected the magic of a NumPy .npy file ('\\x93NUMPY'): {}", where,
        in_quotes({lead, 6}), kSaveAgain));
  const int version = static_cast<unsigned char>(lead[6]);
  if (version < 1 || version > 3)
    throw MalformedError(fmt::format("{}: .npy format {}.{}, expected 1, 2 or 3: {}", where,
                                     version, static_cast<int>(lead[7]), kSaveAgain));
  std::uint32_t length = 0;
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  std::memcpy(&length, lead + 8, length_bytes);
  const std::uint64_t data_begin = 8 + length_bytes + length;
  if (length > kMaxHeaderBytes)
    throw MalformedError(fmt::format("{}: header of {} bytes, expected at most {}: {}", where,
                                     length, kMaxHeaderBytes, kSaveAgain));
  if (data_begin > size)
    throw MalformedError(fmt::format("{}: truncated: header ends at byte {}, file has {}: {}",
                                     where, data_begin, size, kSaveAgain));
  std::string text(length, '\0');
  file.read(begin + 8 + length_bytes, length, text.data());
  Fields fields;
  DictReader(text, where).read_into(fields);
  for (const auto& [present, key] : {std::pair{fields.descr.has_value(), "descr"},
                                     {fields.fortran_order.has_value(), "fortran_order"},
                                     {fields.shape.has_value(), "shape"}})
    if (!present)
      throw MalformedError(fmt::format("{}: header lacks key '{}': {}", where, key, kSaveAgain));
  return {*fields.descr, *fields.fortran_order, *fields.shape, begin + data_begin};
}

std::uint64_t npy_bytes(const NpyHeader& header, std::uint64_t element_bytes,
                        const std::string& where) {
  std::int64_t elements = 1;
  std::uint64_t bytes = 0;
  for (const std::int64_t size : header.shape)
    if (__builtin_mul_overflow(elements, size, &elements))
      throw MalformedError(fmt::format("{}: shape ({}) overflows: {}", where,
                                       fmt::join(header.shape, ", "), kSaveAgain));
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(elements), element_bytes, &bytes))
    throw MalformedError(fmt::format("{}: shape ({}) overflows: {}", where,
                                     fmt::join(header.shape, ", "), kSaveAgain));
  return bytes;
}

}  // namespace deadray
