#include "host/architecture/families/common.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"

namespace deadray {

Activation parse_activation(const Config& config, std::string_view key, std::string_view fallback) {
  static constexpr std::pair<std::string_view, Activation> kKnown[] = {
      {"gelu", Activation::gelu_erf},
      {"gelu_new", Activation::gelu_tanh},
      {"gelu_pytorch_tanh", Activation::gelu_tanh},
      {"relu", Activation::relu},
      {"silu", Activation::silu},
      {"swish", Activation::silu},
      {"quick_gelu", Activation::quick_gelu},
      {"tanh", Activation::tanh},
  };
  const std::string name = config.text(key, fallback);
  for (const auto& [known, activation] : kKnown)
    if (name == known) return activation;
  config.cannot_run(
      fmt::format("{} is {}; deadray runs gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, "
                  "silu, tanh",
                  config.full_key(key), in_quotes(name)));
  return Activation::gelu_erf;
}

std::vector<bool> sliding_blocks(const Config& config, std::int64_t n_blocks,
                                 const std::function<bool(std::int64_t)>& rule) {
  std::vector<bool> sliding;
  if (!config.has("layer_types")) {
    for (std::int64_t block = 0; block < n_blocks; ++block) sliding.push_back(rule(block));
    return sliding;
  }
  const auto& types = config.json().at("layer_types");
  if (!types.is_array() || static_cast<std::int64_t>(types.size()) != n_blocks)
    throw MalformedError(
        fmt::format("{}: {} is not a list of {} entries, one for each of num_hidden_layers",
                    config.path().string(), config.full_key("layer_types"), n_blocks));
  for (const auto& type : types) {
    if (type != "sliding_attention" && type != "full_attention")
      config.cannot_run(fmt::format("{}[{}] is {}; deadray runs full_attention, sliding_attention",
                                    config.full_key("layer_types"), sliding.size(),
                                    show_json(type)));
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

bool names_head(const Config& config, const std::vector<std::string>& heads, bool when_absent) {
  if (!config.has("architectures")) return when_absent;
  const auto& classes = config.json().at("architectures");
  if (!classes.is_array() || classes.empty() || !classes[0].is_string()) return when_absent;
  const auto name = classes[0].get<std::string>();
  return std::any_of(heads.begin(), heads.end(),
                     [&](const std::string& head) { return name.ends_with(head); });
}

std::int64_t padding_row(const Config& config, std::int64_t fallback) {
  if (!config.has("pad_token_id"))
    return config.json().contains("pad_token_id") ? -1 : fallback;  // null says: none
  const auto& value = config.json().at("pad_token_id");
  if (!value.is_number_integer())
    throw MalformedError(fmt::format("{}: pad_token_id is {}, expected a token number",
                                     config.path().string(), show_json(value)));
  return value.get<std::int64_t>();
}

}  // namespace deadray
