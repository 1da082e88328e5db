#include "host/architecture/config.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/folder/own_files.h"

namespace deadray {
namespace {

[[noreturn]] void complain(const std::filesystem::path& file, const std::string& key,
                           const nlohmann::json* found, std::string_view expected) {
  throw MalformedError(fmt::format("{}: key {} is {}, expected {}", file.string(), in_quotes(key),
                                   found ? show_json(*found) : "missing", expected));
}

constexpr std::uint64_t kLargestConfig = 10'000'000;  // bytes; real ones have thousands

bool is_between(const nlohmann::json& value, std::int64_t least, std::int64_t most) {
  return value.is_number_integer() && value >= least && value <= most;
}

}  // namespace

std::filesystem::path config_file(const std::filesystem::path& model) {
  std::error_code ignored;
  return (std::filesystem::is_directory(model, ignored) ? model : model.parent_path()) /
         "config.json";
}

bool has_config(const std::filesystem::path& model) {
  std::error_code ignored;
  return std::filesystem::exists(config_file(model), ignored);
}

Config Config::load(const std::filesystem::path& model) {
  std::error_code ignored;
  if (!std::filesystem::exists(model, ignored)) refuse_missing(model);
  const std::filesystem::path file = config_file(model);
  refuse_dangling_link(file);
  refuse_link_outside(file, file.parent_path());
  if (!has_config(model))
    throw MalformedError(fmt::format(
        "{}: missing: deadray reads the architecture there; put the model's config.json {}, or let "
        "`predict` take your word for its norms: --norm layernorm|rmsnorm|layernorm1p",
        file.string(),
        std::filesystem::is_directory(model, ignored) ? "into the folder" : "beside the weights"));
  return parse(read_text_file(file, kLargestConfig), file);
}

Config Config::parse(const std::string& text, const std::filesystem::path& name) {
  Config config;
  config.path_ = name;
  config.json_ = std::make_shared<const nlohmann::json>(parse_json_object(text, name));
  return config;
}

/// The value at `key`; nullptr when absent or null.
const nlohmann::json* Config::lookup(std::string_view key) const {
  read_->insert(full_key(key));
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

bool Config::has(std::string_view key) const { return lookup(key) != nullptr; }

std::int64_t Config::integer(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (!value || !is_between(*value, 1, kLargestSize))
    complain(path_, full_key(key), value, "an integer from 1 to 2^30");
  return value->get<std::int64_t>();
}

std::int64_t Config::integer(std::string_view key, std::int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

std::int64_t Config::count(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (!value || !is_between(*value, 1, kMostParts))
    complain(path_, full_key(key), value, fmt::format("an integer from 1 to {}", kMostParts));
  return value->get<std::int64_t>();
}

std::int64_t Config::count(std::string_view key, std::int64_t fallback) const {
  return has(key) ? count(key) : fallback;
}

/// The number at `key`, which must be `right`.
template <class Right>
double Config::number(std::string_view key, std::string_view expected, Right right) const {
  const nlohmann::json* value = lookup(key);
  if (!value || !value->is_number() || !right(value->get<double>()))
    complain(path_, full_key(key), value, expected);
  return value->get<double>();
}

double Config::positive(std::string_view key) const {
  return number(key, "a number above 0", [](double x) { return x > 0.0; });
}

double Config::positive(std::string_view key, double fallback) const {
  return has(key) ? positive(key) : fallback;
}

double Config::non_negative(std::string_view key, double fallback) const {
  return has(key) ? number(key, "a number of at least 0", [](double x) { return x >= 0.0; })
                  : fallback;
}

bool Config::flag(std::string_view key, bool fallback) const {
  const nlohmann::json* value = lookup(key);
  if (!value) return fallback;
  if (!value->is_boolean()) complain(path_, full_key(key), value, "true or false");
  return value->get<bool>();
}

std::string Config::text(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (!value || !value->is_string()) complain(path_, full_key(key), value, "a string");
  return value->get<std::string>();
}

std::string Config::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

Config Config::with_defaults(const nlohmann::json& defaults) const {
  auto filled = std::make_shared<nlohmann::json>(defaults);
  filled->update(*json_);
  Config config = *this;
  config.json_ = std::move(filled);
  return config;
}

Config Config::object(std::string_view key) const {
  const nlohmann::json* value = lookup(key);
  if (!value || !value->is_object()) complain(path_, full_key(key), value, "an object");
  Config nested;
  nested.path_ = path_;
  nested.prefix_ = prefix_ + std::string(key) + ".";
  nested.read_ = read_;
  nested.not_run_ = not_run_;
  // Shares ownership: the whole document stays alive.
  nested.json_ = std::shared_ptr<const nlohmann::json>(json_, value);
  return nested;
}

namespace {

std::string runs_only_line(const std::string& key, const nlohmann::json& value,
                           std::string_view supported) {
  return fmt::format("{} is {}; deadray runs {} only", key, show_json(value), supported);
}

}  // namespace

void Config::require(std::string_view key, const nlohmann::json& only,
                     std::string_view supported) const {
  const nlohmann::json* value = lookup(key);
  if (!value || *value == only) return;
  throw UnsupportedError(
      fmt::format("{}: {}", path_.string(), runs_only_line(full_key(key), *value, supported)));
}

void Config::runs_only(std::string_view key, const nlohmann::json& only,
                       std::string_view supported) const {
  const nlohmann::json* value = lookup(key);
  if (value && *value != only) cannot_run(runs_only_line(full_key(key), *value, supported));
}

void Config::cannot_run(std::string_view what) const {
  std::string line = fmt::format("{}: {}", path_.string(), what);
  if (std::find(not_run_->begin(), not_run_->end(), line) == not_run_->end())
    not_run_->push_back(std::move(line));
}

}  // namespace deadray
