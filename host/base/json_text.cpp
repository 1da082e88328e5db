#include "host/base/json_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json/json_events.h"
#include "host/base/utf8.h"

namespace deadray {
namespace {

constexpr std::size_t kMaxDepth = 100;

/// Python's json writes bare NaN, Infinity and -Infinity: the text with each in quotes, so that
/// who reads such a key is told what stands there, and nobody else is. Absent without any.
std::optional<std::string> with_quoted_non_numbers(std::string_view text) {
  std::string quoted;
  bool in_string = false, any = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') in_string = !in_string;
    if (in_string && text[i] == '\\' && i + 1 < text.size()) quoted += text[i++];
    const std::string_view rest = text.substr(i);
    std::string_view word;
    if (!in_string)
      for (const std::string_view name : {"-Infinity", "Infinity", "NaN"})
        if (rest.starts_with(name)) word = name;
    if (word.empty()) {
      quoted += text[i];
      continue;
    }
    quoted.append("\"").append(word).append("\"");
    i += word.size() - 1;
    any = true;
  }
  return any ? std::optional(std::move(quoted)) : std::nullopt;
}

/// Builds a document of the events of read_json_events().
class DocumentHandler {
 public:
  explicit DocumentHandler(const std::filesystem::path& name) : name_(name) {}

  nlohmann::json take() { return std::move(document_); }

  void null() { add(nullptr); }
  void boolean(bool value) { add(value); }
  void natural(std::uint64_t value) { add(value); }
  void string(std::string_view value) { add(value); }
  void number(std::string_view spelling) {
    const char *const first = spelling.data(), *const last = first + spelling.size();
    std::int64_t integer = 0;
    if (const auto [end, error] = std::from_chars(first, last, integer);
        error == std::errc() && end == last)
      return add(integer);
    // As nlohmann does it: what is too small for a double is 0.
    const double value = std::strtod(std::string(spelling).c_str(), nullptr);
    if (!std::isfinite(value))
      throw MalformedError(fmt::format("{}: not JSON: number overflow parsing '{}'", name_.string(),
                                       on_one_line(spelling, 160)));
    add(value);
  }

  void key(std::string_view name) {
    auto& object = open_.back()->get_ref<nlohmann::json::object_t&>();
    const std::size_t before = object.size();
    // Most texts have their keys in order.
    place_ = &object.emplace_hint(object.end(), name, nullptr)->second;
    if (object.size() == before)
      throw MalformedError(
          fmt::format("{}: key {} is there twice in one object: remove the wrong one",
                      name_.string(), in_quotes(name)));
  }

  void begin_object() { begin(nlohmann::json::object()); }
  void begin_array() { begin(nlohmann::json::array()); }
  void end_object() { open_.pop_back(); }
  void end_array() { open_.pop_back(); }

 private:
  template <class Value>
  nlohmann::json& add_and_get(Value&& value) {
    if (!open_.empty() && open_.back()->is_array())
      return open_.back()->emplace_back(std::forward<Value>(value));
    return *place_ = std::forward<Value>(value);
  }
  template <class Value>
  void add(Value&& value) {
    add_and_get(std::forward<Value>(value));
  }
  void begin(nlohmann::json container) {
    if (open_.size() == kMaxDepth)
      throw MalformedError(
          fmt::format("{}: nested deeper than {} levels", name_.string(), kMaxDepth));
    open_.push_back(&add_and_get(std::move(container)));
  }

  const std::filesystem::path& name_;
  nlohmann::json document_;
  nlohmann::json* place_ = &document_;  // of the value that comes next, unless it is in an array
  std::vector<nlohmann::json*> open_;   // the containers around it
};

std::optional<nlohmann::json> parse(std::string_view text, const std::filesystem::path& name) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  DocumentHandler handler(name);
  if (!read_json_events(text, handler)) return std::nullopt;
  return handler.take();
}

nlohmann::json parse_text(const std::string& text, const std::filesystem::path& name) {
  if (auto document = parse(text, name)) return *std::move(document);
  if (const auto quoted = with_quoted_non_numbers(text))
    if (auto document = parse(*quoted, name)) return *std::move(document);
  throw MalformedError(fmt::format("{}: {}", name.string(), explain_json_error(text)));
}

/// Hears of a text where it is no JSON, from nlohmann's parser, whose messages are good.
struct ErrorListener : nlohmann::json_sax<nlohmann::json> {
  std::size_t position;                       ///< bytes that were read
  std::string what = "unexpected byte 0x00";  // the library takes it for the end of the text

  explicit ErrorListener(std::string_view text)
      : position(std::min(text.find('\0'), text.size()) + 1) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(nlohmann::json::binary_t&) override { return true; }
  bool key(std::string&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t at, const std::string&,
                   const nlohmann::json::exception& error) override {
    position = at;
    what = error.what();
    return false;
  }
};

}  // namespace

std::string explain_json_error(std::string_view text, std::size_t first) {
  ErrorListener listener(text);
  nlohmann::json::sax_parse(text, &listener);
  const std::size_t at = std::min(std::max<std::size_t>(listener.position, 1), text.size() + 1) - 1;
  const std::size_t invalid = first_ill_formed(text.substr(0, std::min(text.size(), at + 4)));
  if (invalid <= at)
    return fmt::format("not UTF-8 at byte {} (0x{:02x})", first + invalid,
                       static_cast<unsigned char>(text[invalid]));
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  std::string_view what = listener.what;
  // The library says "[json.exception.parse_error.101] parse error at line 1, column 2: …".
  if (const std::size_t colon = what.find(": "); what.starts_with('[') && colon != what.npos)
    what.remove_prefix(colon + 2);
  return fmt::format("not JSON at line {}, column {} (byte {}): {}", line, column, first + at,
                     on_one_line(what, 160));
}

nlohmann::json parse_json_object(const std::string& text, const std::filesystem::path& name) {
  nlohmann::json object = parse_text(text, name);
  if (!object.is_object())
    throw MalformedError(
        fmt::format("{}: is {}, expected a JSON object", name.string(), show_json(object)));
  return object;
}

std::string record_text(const nlohmann::ordered_json& record) {
  return in_lines(record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::string show_json(const nlohmann::json& value) {
  std::string text =
      on_one_line(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 60);
  if (value.is_string()) return text + " (a string)";
  if (value.is_number_integer()) return text + " (an integer)";
  if (value.is_number()) return text + " (a float)";
  if (value.is_array()) return text + " (an array)";
  if (value.is_object()) return text + " (an object)";
  return text;
}

}  // namespace deadray
