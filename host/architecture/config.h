#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace deadray {

/// Beyond every size of a model; the product of two, and a sum of several such products, stays in
/// std::int64_t.
inline constexpr std::int64_t kLargestSize = std::int64_t{1} << 30;
/// Beyond every number of blocks, or of experts in one: each is described on its own, so a damaged
/// count would fill the memory.
inline constexpr std::int64_t kMostParts = 10'000;

/// Where a model's config.json is, if it has one.
/// @param model  folder that holds it, or a weight file beside it
std::filesystem::path config_file(const std::filesystem::path& model);
bool has_config(const std::filesystem::path& model);

/// A model's config.json with typed access; every complaint names the file and the key.
class Config {
 public:
  /// @param model  folder that holds config.json, or a weight file beside one
  /// @throws MalformedError when it is missing (and what to do), unreadable, no JSON, or no object
  static Config load(const std::filesystem::path& model);
  static Config parse(const std::string& text, const std::filesystem::path& name);

  const std::filesystem::path& path() const noexcept { return path_; }
  bool has(std::string_view key) const;  ///< present and not null
  /// A size. @throws MalformedError when absent, of another type, or outside 1 … kLargestSize
  std::int64_t integer(std::string_view key) const;
  /// Here and below, `fallback` is the value of a key that is absent or null.
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  /// A number of parts, blocks or experts.
  /// @throws MalformedError when absent, of another type, or outside 1 … kMostParts
  std::int64_t count(std::string_view key) const;
  std::int64_t count(std::string_view key, std::int64_t fallback) const;
  /// @throws MalformedError when absent, no number, or not > 0
  double positive(std::string_view key) const;
  double positive(std::string_view key, double fallback) const;
  double non_negative(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  /// The same with `defaults` in the place of keys that are absent; a key that is null stays so.
  Config with_defaults(const nlohmann::json& defaults) const;
  /// A nested object, e.g. "text_config"; its keys are named "text_config.x".
  Config object(std::string_view key) const;
  /// @throws UnsupportedError "config.json: key is X; deadray runs <supported> only" unless the key
  /// is absent, null or equal to `only`
  void require(std::string_view key, const nlohmann::json& only, std::string_view supported) const;
  /// The same of what only the forward pass depends on: nothing is thrown, not_run() gains the
  /// line.
  void runs_only(std::string_view key, const nlohmann::json& only,
                 std::string_view supported) const;
  /// Adds "config.json: <what>" to not_run(): "rope_type is \"yarn\"; deadray runs default".
  void cannot_run(std::string_view what) const;
  /// What the executor does not run, by key, from here and from nested objects; each line once.
  const std::vector<std::string>& not_run() const noexcept { return *not_run_; }
  /// The key as messages name it.
  std::string full_key(std::string_view key) const { return prefix_ + std::string(key); }
  const nlohmann::json& json() const noexcept { return *json_; }
  /// Keys that somebody has asked for, here and in nested objects ("text_config.hidden_size"). The
  /// description depends on these alone.
  const std::set<std::string>& keys_read() const noexcept { return *read_; }

 private:
  const nlohmann::json* lookup(std::string_view key) const;
  template <class Right>
  double number(std::string_view key, std::string_view expected, Right right) const;
  std::filesystem::path path_;
  std::string prefix_;  ///< "text_config." in a nested object
  std::shared_ptr<const nlohmann::json> json_;
  std::shared_ptr<std::set<std::string>> read_ = std::make_shared<std::set<std::string>>();
  std::shared_ptr<std::vector<std::string>> not_run_ = std::make_shared<std::vector<std::string>>();
};

}  // namespace deadray
