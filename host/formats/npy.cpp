#include "host/formats/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"

namespace deadray {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMaxHeaderBytes = 1'000'000;

struct NpyHeader {
  /// As written: "<i4", or with its brackets where the type is a structure.
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
  std::uint64_t data_begin = 0;
};

/// Reads the Python dictionary that a .npy header is: string keys; strings, booleans, tuples of
/// integers and lists as values.
class DictReader {
 public:
  DictReader(std::string_view text, const std::filesystem::path& file) : text_(text), file_(file) {}

  void read_into(NpyHeader& header) {
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
    throw MalformedError(fmt::format("{}: header has {} at character {}, expected {}",
                                     file_.string(), found, at_, expected));
  }

  std::string_view text_;
  const std::filesystem::path& file_;
  std::size_t at_ = 0;
};

NpyHeader read_header(const InputFile& file) {
  const std::string name = file.path().string();
  if (file.size() < 10)
    throw MalformedError(
        fmt::format("{}: too short: {} bytes, need at least 10", name, file.size()));
  char lead[12] = {};
  file.read(0, file.size() < sizeof(lead) ? 10 : sizeof(lead), lead);
  if (std::string_view(lead, kMagic.size()) != kMagic)
    throw MalformedError(
        fmt::format("{}: begins with {}, expected the magic of a NumPy .npy file ('\\x93NUMPY')",
                    name, in_quotes({lead, 6})));
  const int version = static_cast<unsigned char>(lead[6]);
  if (version < 1 || version > 3)
    throw MalformedError(fmt::format("{}: .npy format {}.{}, expected 1, 2 or 3", name, version,
                                     static_cast<int>(lead[7])));
  std::uint32_t length = 0;
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  std::memcpy(&length, lead + 8, length_bytes);
  NpyHeader header;
  header.data_begin = 8 + length_bytes + length;
  if (length > kMaxHeaderBytes)
    throw MalformedError(
        fmt::format("{}: header of {} bytes, expected at most {}", name, length, kMaxHeaderBytes));
  if (header.data_begin > file.size())
    throw MalformedError(fmt::format("{}: truncated: header ends at byte {}, file has {}", name,
                                     header.data_begin, file.size()));
  std::string text(length, '\0');
  file.read(8 + length_bytes, length, text.data());
  DictReader(text, file.path()).read_into(header);
  for (const auto& [present, key] : {std::pair{header.descr.has_value(), "descr"},
                                     {header.fortran_order.has_value(), "fortran_order"},
                                     {header.shape.has_value(), "shape"}})
    if (!present) throw MalformedError(fmt::format("{}: header lacks key '{}'", name, key));
  return header;
}

template <typename Stored>
std::vector<std::int64_t> read_values(const InputFile& file, const NpyHeader& header,
                                      std::int64_t count) {
  std::vector<Stored> stored(static_cast<std::size_t>(count));
  file.read(header.data_begin, stored.size() * sizeof(Stored), stored.data());
  if constexpr (std::is_same_v<Stored, std::int64_t>) return stored;
  return std::vector<std::int64_t>(stored.begin(), stored.end());
}

}  // namespace

IntegerMatrix read_npy(const std::filesystem::path& path) {
  const InputFile file(path);
  const NpyHeader header = read_header(file);
  const std::vector<std::int64_t>& shape = *header.shape;
  const auto fail = [&](std::string_view problem) {
    throw MalformedError(fmt::format("{}: {}", path.string(), problem));
  };
  const bool wide = *header.descr == "<i8";
  if (!wide && *header.descr != "<i4")
    fail(
        fmt::format("dtype {}, expected '<i4' or '<i8' (little-endian int32 or int64): save "
                    "array.astype('int32')",
                    in_quotes(*header.descr)));
  if (*header.fortran_order)
    fail("Fortran order, expected C order: save numpy.ascontiguousarray(array)");
  if (shape.size() != 1 && shape.size() != 2)
    fail(fmt::format("shape ({}) of rank {}, expected rank 2 [rows, columns] or rank 1",
                     fmt::join(shape, ", "), shape.size()));

  IntegerMatrix matrix;
  matrix.rows = shape.size() == 2 ? shape[0] : 1;
  matrix.columns = shape.back();
  std::int64_t count = 0, bytes = 0;
  if (__builtin_mul_overflow(matrix.rows, matrix.columns, &count) ||
      __builtin_mul_overflow(count, wide ? 8 : 4, &bytes))
    fail(fmt::format("shape ({}) overflows", fmt::join(shape, ", ")));
  if (count == 0) fail(fmt::format("shape ({}) holds no elements", fmt::join(shape, ", ")));
  const std::uint64_t found = file.size() - header.data_begin;
  if (found != static_cast<std::uint64_t>(bytes))
    fail(fmt::format("{} bytes of data, expected {} for shape ({}) of {}: {}", found, bytes,
                     fmt::join(shape, ", "), *header.descr,
                     found < static_cast<std::uint64_t>(bytes) ? "truncated" : "trailing bytes"));
  matrix.values = wide ? read_values<std::int64_t>(file, header, count)
                       : read_values<std::int32_t>(file, header, count);
  return matrix;
}

}  // namespace deadray
