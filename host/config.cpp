#include "host/config.h"

#include <limits>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/error.h"
#include "host/in_quotes.h"
#include "host/input_file.h"
#include "host/json_text.h"

namespace deadray {
namespace {

/// The value at `key`; nullptr when absent or null.
const nlohmann::json* lookup(const nlohmann::json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

[[noreturn]] void complain(const std::filesystem::path& file, const std::string& key, const nlohmann::json* found,
                           std::string_view expected) {
  throw MalformedError(
      fmt::format("{}: key {} is {}, expected {}", file.string(), in_quotes(key), found ? show_json(*found) : "missing", expected));
}

bool fits_int64(const nlohmann::json& value) {
  return value.is_number_integer() &&
         !(value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
}

}  // namespace

Config Config::load(const std::filesystem::path& model) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(model, ignored);
  if (!is_folder && !std::filesystem::exists(model, ignored)) throw UsageError(fmt::format("{}: no such file or folder", model.string()));
  const std::filesystem::path file = (is_folder ? model : model.parent_path()) / "config.json";
  if (!std::filesystem::exists(file, ignored))
    throw MalformedError(fmt::format("{}: missing: deadray reads the architecture there; put the model's config.json {}", file.string(),
                                     is_folder ? "into the folder" : "beside the weights"));
  return parse(read_text_file(file), file);
}

Config Config::parse(const std::string& text, const std::filesystem::path& name) {
  Config config;
  config.path_ = name;
  config.json_ = std::make_shared<const nlohmann::json>(parse_json_object(text, name));
  return config;
}

bool Config::has(std::string_view key) const { return lookup(*json_, key) != nullptr; }

std::int64_t Config::integer(std::string_view key) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value || !fits_int64(*value) || value->get<std::int64_t>() < 1)
    complain(path_, prefix_ + std::string(key), value, "an integer of at least 1");
  return value->get<std::int64_t>();
}

std::int64_t Config::integer(std::string_view key, std::int64_t fallback) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value) return fallback;
  if (fallback >= 1) return integer(key);
  if (!fits_int64(*value)) complain(path_, prefix_ + std::string(key), value, "an integer");
  return value->get<std::int64_t>();
}

double Config::number(std::string_view key) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value || !value->is_number()) complain(path_, prefix_ + std::string(key), value, "a number");
  return value->get<double>();
}

double Config::number(std::string_view key, double fallback) const { return has(key) ? number(key) : fallback; }

bool Config::flag(std::string_view key, bool fallback) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value) return fallback;
  if (!value->is_boolean()) complain(path_, prefix_ + std::string(key), value, "true or false");
  return value->get<bool>();
}

std::string Config::text(std::string_view key) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value || !value->is_string()) complain(path_, prefix_ + std::string(key), value, "a string");
  return value->get<std::string>();
}

std::string Config::text(std::string_view key, std::string_view fallback) const { return has(key) ? text(key) : std::string(fallback); }

Config Config::object(std::string_view key) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value || !value->is_object()) complain(path_, prefix_ + std::string(key), value, "an object");
  Config nested;
  nested.path_ = path_;
  nested.prefix_ = prefix_ + std::string(key) + ".";
  nested.json_ = std::shared_ptr<const nlohmann::json>(json_, value);  // keeps the whole document alive
  return nested;
}

void Config::require(std::string_view key, const nlohmann::json& only, std::string_view supported) const {
  const nlohmann::json* value = lookup(*json_, key);
  if (!value || *value == only) return;
  throw UnsupportedError(
      fmt::format("{}: {} is {}; deadray runs {} only", path_.string(), prefix_ + std::string(key), show_json(*value), supported));
}

}  // namespace deadray
