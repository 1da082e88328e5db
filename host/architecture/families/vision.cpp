#include "host/architecture/families/vision.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"

namespace deadray {

Sizes picture_sizes(const Config& config) {
  Sizes sizes;
  sizes.d = config.integer("hidden_size", 768);
  sizes.n_heads = sizes.n_kv_heads = config.integer("num_attention_heads", 12);
  sizes.head_dim = divide(config, "hidden_size", sizes.d, "num_attention_heads", sizes.n_heads);
  return sizes;
}

std::int64_t square_side(const Config& config, std::string_view key, std::int64_t fallback) {
  if (!config.has(key) || !config.json().at(key).is_array()) return config.integer(key, fallback);
  const nlohmann::json& sides = config.json().at(key);
  if (sides.size() != 2)
    throw MalformedError(fmt::format("{}: key {} is {}, expected a size or two",
                                     config.path().string(), in_quotes(config.full_key(key)),
                                     show_json(sides)));
  if (sides[0] != sides[1])
    config.cannot_run(
        fmt::format("{} is {}; deadray runs squares only", config.full_key(key), show_json(sides)));
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

PatchInput vit_embedding(const Config& config, const Parts& parts, std::int64_t default_patch) {
  const std::int64_t d = parts.sizes.d;
  PatchInput input = picture_input(config, 224, default_patch);
  input.projection =
      patch_projection(input, "embeddings.patch_embeddings.projection", d, true, parts.deviation);
  input.class_token = TensorSpec{"embeddings.cls_token", {1, 1, d}, parts.normal()};
  input.positions = TensorSpec{
      "embeddings.position_embeddings", {1, 1 + input.rows() * input.columns(), d}, parts.normal()};
  return input;
}

std::int64_t mlp_width(const Config& config, std::int64_t d, std::string_view ratio_key,
                       double default_ratio) {
  const double ratio = config.positive(ratio_key, default_ratio);
  const double width = static_cast<double>(d) * ratio;
  if (!(width >= 1.0 && width <= static_cast<double>(kLargestSize)))
    throw MalformedError(fmt::format("{}: {} {} times the width {} is no size from 1 to 2^30",
                                     config.path().string(), ratio_key, ratio, d));
  return static_cast<std::int64_t>(width);
}

}  // namespace deadray
