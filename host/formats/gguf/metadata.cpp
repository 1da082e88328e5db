#include "host/formats/gguf/metadata.h"

#include <array>
#include <bit>
#include <cmath>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/in_quotes.h"
#include "host/base/utf8.h"
#include "host/formats/container.h"

namespace deadray {
namespace {

/// Types of values, numbered as the format does.
enum class ValueType : std::uint32_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64
};

struct ValueTypeRow {
  std::string_view name;
  std::uint64_t bytes;  ///< the least that a value takes
};

constexpr std::array<ValueTypeRow, 13> kValueTypes{{{"uint8", 1},
                                                    {"int8", 1},
                                                    {"uint16", 2},
                                                    {"int16", 2},
                                                    {"uint32", 4},
                                                    {"int32", 4},
                                                    {"float32", 4},
                                                    {"bool", 1},
                                                    {"string", 8},
                                                    {"array", 12},
                                                    {"uint64", 8},
                                                    {"int64", 8},
                                                    {"float64", 8}}};

constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::uint64_t kLargestAlignment = 1 << 20;
constexpr std::size_t kLongestName = 65535;   // of keys, as the format says
constexpr std::uint64_t kMostKeys = 100'000;  // real files have some dozens
/// Length, one character, type, one byte of value.
constexpr std::uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;

const ValueTypeRow& row(ValueType type) { return kValueTypes[static_cast<std::size_t>(type)]; }

ValueType read_type(GgufHeadReader& head) {
  const auto type = head.number<std::uint32_t>();
  if (type >= kValueTypes.size())
    head.fail(fmt::format("value type {}, expected 0 to {}", type, kValueTypes.size() - 1));
  return static_cast<ValueType>(type);
}

template <typename Float>
std::string float_json(Float value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

std::string boolean_json(GgufHeadReader& head) {
  const int value = head.number<std::uint8_t>();
  if (value > 1) head.fail(fmt::format("a boolean that is {}, expected 0 or 1", value));
  return value == 1 ? "true" : "false";
}

std::string array_json(GgufHeadReader& head);

std::string value_json(GgufHeadReader& head, ValueType type) {
  switch (type) {
    case ValueType::uint8:
      return fmt::format("{}", int{head.number<std::uint8_t>()});
    case ValueType::int8:
      return fmt::format("{}", int{head.number<std::int8_t>()});
    case ValueType::uint16:
      return fmt::format("{}", head.number<std::uint16_t>());
    case ValueType::int16:
      return fmt::format("{}", head.number<std::int16_t>());
    case ValueType::uint32:
      return fmt::format("{}", head.number<std::uint32_t>());
    case ValueType::int32:
      return fmt::format("{}", head.number<std::int32_t>());
    case ValueType::uint64:
      return fmt::format("{}", head.number<std::uint64_t>());
    case ValueType::int64:
      return fmt::format("{}", head.number<std::int64_t>());
    case ValueType::float32:
      return float_json(head.number<float>());
    case ValueType::float64:
      return float_json(head.number<double>());
    case ValueType::boolean:
      return boolean_json(head);
    case ValueType::string:  // of any bytes: pieces of characters are replaced
      return nlohmann::json(head.text())
          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    case ValueType::array:
      break;
  }
  return array_json(head);
}

std::string array_json(GgufHeadReader& head) {
  const ValueType type = read_type(head);
  if (type == ValueType::array) head.fail("an array of arrays, expected numbers or strings");
  const auto count = head.number<std::uint64_t>();
  head.expect(count, row(type).bytes, fmt::format("elements of an array of {}", row(type).name));
  if (count > kLongestListed) {
    if (type == ValueType::string)
      for (std::uint64_t i = 0; i < count; ++i) head.skip_text();
    else
      head.skip(count * row(type).bytes);
    return fmt::format("{{\"count\":{}}}", count);
  }
  std::string json = "[";
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i > 0) json += ',';
    json += value_json(head, type);
  }
  return json += ']';
}

std::uint64_t read_alignment(GgufHeadReader& head, ValueType type) {
  if (type != ValueType::uint32)
    head.fail(fmt::format("is of type {}, expected uint32", row(type).name));
  const auto alignment = head.number<std::uint32_t>();
  if (!std::has_single_bit(alignment) || alignment > kLargestAlignment)
    head.fail(fmt::format("alignment {}, expected a power of two up to {}", alignment,
                          kLargestAlignment));
  return alignment;
}

}  // namespace

std::string read_gguf_name(GgufHeadReader& head) {
  std::string name = head.text();
  if (name.empty()) head.fail("an empty name");
  if (name.size() > kLongestName)
    head.fail(fmt::format("a name of {} bytes, expected at most {}", name.size(), kLongestName));
  if (const std::size_t bad = first_ill_formed(name); bad != name.npos)
    head.fail(fmt::format("the name {} is not UTF-8 at its byte {}", in_quotes(name), bad));
  return name;
}

GgufMetadata read_gguf_metadata(GgufHeadReader& head, std::uint64_t count) {
  head.expect(count, kLeastKeyBytes, "keys");
  if (count > kMostKeys) head.fail(fmt::format("{} keys, expected at most {}", count, kMostKeys));
  GgufMetadata metadata;
  for (std::uint64_t i = 0; i < count; ++i) {
    head.about(fmt::format("key {} of {}", i + 1, count));
    std::string key = read_gguf_name(head);
    head.about(fmt::format("key {}", in_quotes(key)));
    if (metadata.values.contains(key)) head.fail("the key is there twice");
    const ValueType type = read_type(head);
    if (key == kAlignmentKey) metadata.alignment = read_alignment(head, type);
    std::string value =
        key == kAlignmentKey ? fmt::format("{}", metadata.alignment) : value_json(head, type);
    metadata.values.emplace(std::move(key), std::move(value));
  }
  return metadata;
}

}  // namespace deadray
