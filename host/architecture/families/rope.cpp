#include "host/architecture/families/rope.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

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
    settings.runs_only(layer_type, nullptr,
                       "one set of rotary settings for all layers of this family");
  const std::string type = settings.text("rope_type", settings.text("type", "default"));
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3")
    settings.cannot_run(fmt::format(
        "{} is {}; deadray runs default, linear, llama3",
        settings.full_key(settings.has("rope_type") ? "rope_type" : "type"), in_quotes(type)));
  if (type != "linear" && type != "llama3") return rope;
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
  config.runs_only("partial_rotary_factor", 1.0, "1.0");
  const auto settings = rope_settings(config);
  return settings ? parse_rope_settings(*settings, config, rotated_dims, theta)
                  : rope_of(settings, config, rotated_dims, theta);
}

Rope parse_rope_settings(const Config& settings, const Config& config, std::int64_t rotated_dims,
                         double default_theta) {
  settings.runs_only("partial_rotary_factor", 1.0, "1.0");
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

}  // namespace deadray
