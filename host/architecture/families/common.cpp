#include "host/architecture/families/common.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "host/base/error.h"
#include "host/base/json_text.h"

namespace deadray {

LinearSpec linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                  std::int64_t inputs, bool bias, double deviation, Storage storage) {
  LinearSpec spec;
  spec.storage = storage;
  spec.inputs = inputs;
  for (const auto& [stem, outputs] : parts) {
    const auto shape =
        storage == Storage::out_in ? std::vector{outputs, inputs} : std::vector{inputs, outputs};
    spec.weights.push_back({stem + ".weight", shape, {Init::Kind::normal, deviation}});
    if (bias) spec.biases.push_back({stem + ".bias", {outputs}, {Init::Kind::zeros}});
    spec.outputs += outputs;
  }
  return spec;
}

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
  throw UnsupportedError(
      fmt::format("{}: {} is \"{}\"; deadray runs gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, "
                  "relu, silu, tanh",
                  config.path().string(), key, name));
}

std::int64_t divide(const Config& config, std::string_view total_key, std::int64_t total,
                    std::string_view parts_key, std::int64_t parts) {
  if (total % parts != 0)
    throw MalformedError(fmt::format("{}: {} {} is not a multiple of {} {}", config.path().string(),
                                     total_key, total, parts_key, parts));
  return total / parts;
}

std::int64_t integer_at_any(const Config& config, const std::vector<std::string_view>& keys) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](std::string_view key) { return config.has(key); });
  return config.integer(found == keys.end() ? keys.back() : *found);
}

namespace {

/// The object that holds a configuration's rotary settings, under the older key or the newer one.
std::optional<Config> rope_settings(const Config& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (config.has(key)) return config.object(key);
  return std::nullopt;
}

Rope read_rope_settings(const Config& settings, const Config& config, std::int64_t rotated_dims,
                        double default_theta) {
  Rope rope;
  rope.rotated_dims = rotated_dims;
  rope.theta = settings.positive("rope_theta", default_theta);
  for (const char* layer_type : {"full_attention", "sliding_attention"})
    settings.require(layer_type, nullptr,
                     "one set of rotary settings for all layers of this family");
  const std::string type = settings.text("rope_type", settings.text("type", "default"));
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3")
    throw UnsupportedError(fmt::format("{}: {} is \"{}\"; deadray runs default, linear, llama3",
                                       config.path().string(), settings.full_key("rope_type"),
                                       type));
  rope.factor = settings.positive("factor");
  rope.scaling = Rope::Scaling::linear;
  if (type == "linear") return rope;
  rope.scaling = Rope::Scaling::llama3;
  rope.low_frequency_factor = settings.positive("low_freq_factor");
  rope.high_frequency_factor = settings.positive("high_freq_factor");
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  rope.original_max_positions = settings.has(kOriginal) ? settings.integer(kOriginal)
                                                        : config.integer("max_position_embeddings");
  if (!(rope.low_frequency_factor < rope.high_frequency_factor))
    throw MalformedError(fmt::format("{}: {} {} must be below high_freq_factor {}",
                                     config.path().string(), settings.full_key("low_freq_factor"),
                                     rope.low_frequency_factor, rope.high_frequency_factor));
  return rope;
}

/// As `settings` say where they are there; the part of the dimensions that turns is the caller's
/// business.
Rope rope_of(const std::optional<Config>& settings, const Config& config, std::int64_t rotated_dims,
             double theta) {
  if (settings) return read_rope_settings(*settings, config, rotated_dims, theta);
  Rope rope;
  rope.rotated_dims = rotated_dims;
  rope.theta = theta;
  return rope;
}

}  // namespace

Rope parse_rope(const Config& config, std::int64_t rotated_dims, double default_theta) {
  const double theta = config.positive("rope_theta", default_theta);
  config.require("partial_rotary_factor", 1.0, "1.0");
  const auto settings = rope_settings(config);
  return settings ? parse_rope_settings(*settings, config, rotated_dims, theta)
                  : rope_of(settings, config, rotated_dims, theta);
}

Rope parse_rope_settings(const Config& settings, const Config& config, std::int64_t rotated_dims,
                         double default_theta) {
  settings.require("partial_rotary_factor", 1.0, "1.0");
  return read_rope_settings(settings, config, rotated_dims, default_theta);
}

Rope parse_partial_rope(const Config& config, std::int64_t head_dim,
                        const PartialRotaryKeys& keys) {
  double fraction = config.positive(keys.fraction, keys.default_fraction);
  const auto settings = rope_settings(config);
  if (settings) fraction = settings->positive("partial_rotary_factor", fraction);
  const double turned = fraction * static_cast<double>(head_dim);
  const auto rotated_dims = fraction <= 1.0 ? static_cast<std::int64_t>(turned) : 0;
  if (rotated_dims == 0 || rotated_dims % 2 != 0)
    throw MalformedError(
        fmt::format("{}: {} {} of {} dimensions a head turns {:.4g} of them, expected an even "
                    "number from 2 to {}",
                    config.path().string(), keys.fraction, fraction, head_dim, turned, head_dim));
  return rope_of(settings, config, rotated_dims, config.positive(keys.theta, 10000.0));
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
      throw UnsupportedError(fmt::format(
          "{}: {}[{}] is {}; deadray runs full_attention, sliding_attention",
          config.path().string(), config.full_key("layer_types"), sliding.size(), show_json(type)));
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

void change_blocks(Stack& stack, const std::vector<bool>& chosen,
                   const std::function<void(BlockSpec&)>& change) {
  const auto count = std::count(chosen.begin(), chosen.end(), true);
  if (count == 0) return;
  if (count == stack.n_blocks) return change(stack.block_kinds[0]);
  stack.block_kinds.push_back(stack.block_kinds[0]);
  change(stack.block_kinds[1]);
  stack.kind_of.assign(chosen.begin(), chosen.end());
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
                                     config.path().string(), value.dump()));
  return value.get<std::int64_t>();
}

}  // namespace deadray
