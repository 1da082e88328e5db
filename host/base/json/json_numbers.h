#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

// JSON has no NaN and no infinity: null then.
namespace deadray {

inline nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

inline nlohmann::ordered_json number(const std::optional<double>& value) {
  return value ? number(*value) : nlohmann::ordered_json();
}

inline nlohmann::ordered_json numbers(const std::vector<double>& values) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

}  // namespace deadray
