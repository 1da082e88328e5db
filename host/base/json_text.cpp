#include "host/base/json_text.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/utf8.h"

namespace deadray {
namespace {

constexpr int kMaxDepth = 100;

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

/// @throws nlohmann's parse_error; MalformedError for what JSON allows and we do not
nlohmann::json parse_checked(std::string_view text, const std::filesystem::path& name) {
  using Event = nlohmann::json::parse_event_t;
  // Of each object around the place that was reached.
  std::vector<std::unordered_set<std::string>> keys;
  const auto check = [&](int depth, Event event, const nlohmann::json& value) {
    if (depth > kMaxDepth)
      throw MalformedError(
          fmt::format("{}: nested deeper than {} levels", name.string(), kMaxDepth));
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get_ref<const std::string&>()).second)
      throw MalformedError(
          fmt::format("{}: key {} is there twice in one object: remove the wrong one",
                      name.string(), in_quotes(value.get_ref<const std::string&>())));
    return true;
  };
  return nlohmann::json::parse(text, check);
}

nlohmann::json parse_text(const std::string& text, const std::filesystem::path& name) {
  try {
    return parse_checked(text, name);
  } catch (const nlohmann::json::parse_error& error) {
    try {
      if (const auto quoted = with_quoted_non_numbers(text)) return parse_checked(*quoted, name);
    } catch (const nlohmann::json::parse_error&) {
      // That was not what is wrong with it: the first complaint stands.
    }
    throw MalformedError(
        fmt::format("{}: {}", name.string(), explain_json_error(text, error.byte, error.what())));
  } catch (const nlohmann::json::exception& error) {
    // A number too large for a double: the library tells no position.
    throw MalformedError(
        fmt::format("{}: not JSON: {}", name.string(), on_one_line(error.what(), 160)));
  }
}

}  // namespace

std::string explain_json_error(std::string_view text, std::size_t position, std::string_view what,
                               std::size_t first) {
  const std::size_t at = position == 0 ? 0 : std::min(position, text.size() + 1) - 1;
  const std::size_t invalid = first_ill_formed(text.substr(0, std::min(text.size(), at + 4)));
  if (invalid <= at)
    return fmt::format("not UTF-8 at byte {} (0x{:02x})", first + invalid,
                       static_cast<unsigned char>(text[invalid]));
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
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

std::string show_json(const nlohmann::json& value) {
  const std::string text =
      on_one_line(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 60);
  if (value.is_string()) return text + " (a string)";
  if (value.is_number_integer()) return text + " (an integer)";
  if (value.is_number()) return text + " (a float)";
  if (value.is_array()) return text + " (an array)";
  if (value.is_object()) return text + " (an object)";
  return text;
}

}  // namespace deadray
