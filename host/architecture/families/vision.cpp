#include "host/architecture/families/vision.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/error.h"

namespace deadray {

std::int64_t square_side(const Config& config, std::string_view key, std::int64_t fallback) {
  if (!config.has(key) || !config.json().at(key).is_array()) return config.integer(key, fallback);
  const nlohmann::json& sides = config.json().at(key);
  if (sides.size() != 2 || sides[0] != sides[1])
    throw UnsupportedError(fmt::format("{}: {} is {}; deadray runs squares only",
                                       config.path().string(), key, sides.dump()));
  const Config first = Config::parse(nlohmann::json{{key, sides[0]}}.dump(), config.path());
  return first.integer(key);
}

PatchInput picture_input(const Config& config, std::int64_t default_image,
                         std::int64_t default_patch) {
  PatchInput input;
  input.channels = config.integer("num_channels", 3);
  input.patch = square_side(config, "patch_size", default_patch);
  const std::int64_t side = square_side(config, "image_size", default_image);
  if (side < input.patch)
    throw MalformedError(fmt::format("{}: image_size {} is below patch_size {}",
                                     config.path().string(), side, input.patch));
  input.height = input.width = side;
  return input;
}

LinearSpec patch_projection(const PatchInput& input, const std::string& stem, std::int64_t d,
                            bool bias, double deviation) {
  LinearSpec spec;
  std::vector<std::int64_t> shape = {d, input.channels};
  if (input.frames > 0) shape.push_back(input.tubelet);
  shape.insert(shape.end(), {input.patch, input.patch});
  spec.weights.push_back({stem + ".weight", shape, {Init::Kind::normal, deviation}});
  if (bias) spec.biases.push_back({stem + ".bias", {d}, {Init::Kind::zeros}});
  spec.inputs = input.channels * input.tubelet * input.patch * input.patch;
  spec.outputs = d;
  return spec;
}

std::int64_t mlp_width(const Config& config, std::int64_t d, std::string_view ratio_key,
                       double default_ratio) {
  const double ratio = config.positive(ratio_key, default_ratio),
               width = static_cast<double>(d) * ratio;
  if (!(width >= 1.0 && width <= static_cast<double>(kLargestSize)))
    throw MalformedError(fmt::format("{}: {} {} times the width {} is no size from 1 to 2^30",
                                     config.path().string(), ratio_key, ratio, d));
  return static_cast<std::int64_t>(width);
}

}  // namespace deadray
