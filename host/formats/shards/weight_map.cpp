#include "host/formats/shards/weight_map.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json/json_events.h"
#include "host/base/json_text.h"

namespace deadray {
namespace {

std::size_t number_of(std::string_view shard, WeightMap& map) {
  if (const auto known = map.shards.find(shard); known != map.shards.end()) return known->second;
  return map.shards.emplace(shard, map.shards.size()).first->second;
}

/// The events of an index as savers write it, {"metadata": {…}, "weight_map": {tensor: shard}}.
/// Whatever else it is, a document shows better: NotPlain.
class WeightMapHandler {
 public:
  struct NotPlain {};

  void null() { other_value(); }
  void boolean(bool) { other_value(); }
  void natural(std::uint64_t) { other_value(); }
  void number(std::string_view) { other_value(); }
  void string(std::string_view value) {
    if (!in_map_) return other_value();
    map_.tensors.emplace_back(std::exchange(tensor_, {}), number_of(value, map_));
  }
  void key(std::string_view name) {
    if (in_map_)
      tensor_ = name;
    else if (!keys_.back().emplace(name).second)
      throw NotPlain{};
    next_is_map_ = keys_.size() == 1 && name == "weight_map";
  }
  void begin_object() {
    if (in_map_ || keys_.size() == kMostNested) throw NotPlain{};
    in_map_ = next_is_map_;
    if (!in_map_) keys_.emplace_back();
  }
  void end_object() {
    if (!in_map_) keys_.pop_back();
    in_map_ = next_is_map_ = false;
  }
  void begin_array() { throw NotPlain{}; }
  void end_array() {}

  WeightMap take() {
    const auto by_name = [](const auto& a, const auto& b) { return a.first < b.first; };
    const auto same_name = [](const auto& a, const auto& b) { return a.first == b.first; };
    auto& tensors = map_.tensors;
    if (!std::is_sorted(tensors.begin(), tensors.end(), by_name))
      std::sort(tensors.begin(), tensors.end(), by_name);
    if (tensors.empty() ||
        std::adjacent_find(tensors.begin(), tensors.end(), same_name) != tensors.end())
      throw NotPlain{};
    return std::move(map_);
  }

 private:
  static constexpr std::size_t kMostNested = 4;
  void other_value() const {
    if (in_map_ || next_is_map_) throw NotPlain{};
  }

  WeightMap map_;
  std::string tensor_;
  std::vector<std::set<std::string, std::less<>>> keys_;  // of the open objects but the map
  bool next_is_map_ = false, in_map_ = false;
};

/// Absent for an index that is damaged or not as savers write it. It spares the document, which
/// takes three times as long.
std::optional<WeightMap> plain_weight_map(std::string_view text) {
  WeightMapHandler handler;
  try {
    if (read_json_events(text, handler)) return handler.take();
  } catch (const WeightMapHandler::NotPlain&) {
    // The document will say what it is.
  }
  return std::nullopt;
}

/// @throws MalformedError where there is none
WeightMap weight_map_of(const nlohmann::json& document, const std::filesystem::path& file) {
  const auto map = document.find("weight_map");
  if (map == document.end())
    throw MalformedError(fmt::format(
        "{}: key 'weight_map' is missing, expected an object of tensor: shard", file.string()));
  if (!map->is_object())
    throw MalformedError(
        fmt::format("{}: key 'weight_map' is {}, expected an object of tensor: shard",
                    file.string(), show_json(*map)));
  if (map->empty())
    throw MalformedError(
        fmt::format("{}: key 'weight_map' is empty, expected at least one tensor", file.string()));
  WeightMap weights;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string())
      throw MalformedError(
          fmt::format("{}: tensor {}: is mapped to {}, expected a shard's file name", file.string(),
                      in_quotes(tensor), show_json(shard)));
    weights.tensors.emplace_back(tensor, number_of(shard.get_ref<const std::string&>(), weights));
  }
  return weights;
}

}  // namespace

WeightMap read_weight_map(const std::string& text, const std::filesystem::path& file) {
  if (auto plain = plain_weight_map(text)) return *std::move(plain);
  return weight_map_of(parse_json_object(text, file), file);
}

}  // namespace deadray
