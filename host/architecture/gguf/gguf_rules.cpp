#include "host/architecture/gguf/gguf_rules.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

std::int64_t shared_width(const GgufKeys& keys) {
  const std::int64_t width = keys.size("embedding_length"),
                     heads = keys.size("attention.head_count");
  if (width % heads != 0)
    throw MalformedError(fmt::format("{}: {} {} is not a multiple of {} {}", keys.file().string(),
                                     keys.own("embedding_length"), width,
                                     keys.own("attention.head_count"), heads));
  return width / heads;
}

std::int64_t head_width(const GgufKeys& keys) {
  if (keys.has("attention.key_length")) return keys.size("attention.key_length");
  // Of Llama all dimensions turn, and older files tell the width by their number alone.
  if (keys.architecture() == "llama" && keys.has("rope.dimension_count"))
    return keys.size("rope.dimension_count");
  return shared_width(keys);
}

/// Which part of a head turns, as the number whose product with its width is exact again.
double turning_part(const GgufKeys& keys, std::int64_t width) {
  const std::int64_t turning = keys.size("rope.dimension_count", width);
  const double all = static_cast<double>(width), wanted = static_cast<double>(turning);
  double part = wanted / all;
  while (part * all < wanted) part = std::nextafter(part, 2.0);
  return part;
}

/// Llama 3's rule stores one divisor a frequency. Its factor is found, and believed only if it
/// gives the same divisors.
std::optional<Json> llama3_rule(const Checkpoint& checkpoint, const TensorInfo& factors,
                                double theta, std::int64_t width) {
  constexpr double kOriginal = 8192.0, kLow = 1.0, kHigh = 4.0;
  if (factors.elements() == 0 || 2 * factors.elements() != width) return std::nullopt;
  const std::vector<double> stored = checkpoint.read_fp64(factors);
  const double factor = *std::max_element(stored.begin(), stored.end());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(width);
    const double wavelength = 2.0 * std::numbers::pi * std::pow(theta, exponent);
    const double smooth = std::clamp((kOriginal / wavelength - kLow) / (kHigh - kLow), 0.0, 1.0);
    const double expected = 1.0 / ((1.0 - smooth) / factor + smooth);
    // Written as float32, and computed in it: some 1e-6.
    if (!(std::abs(stored[i] - expected) <= 1e-4 * expected)) return std::nullopt;
  }
  return Json{{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", kLow},
              {"high_freq_factor", kHigh},
              {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginal)}};
}

Json rotary(const Checkpoint& checkpoint, const GgufKeys& keys) {
  const std::int64_t width = head_width(keys);
  const double theta = keys.positive("rope.freq_base", 10000.0);
  Json rope = {{"rope_type", "default"},
               {"rope_theta", theta},
               {"partial_rotary_factor", turning_part(keys, width)}};
  const double old_factor = keys.positive("rope.scale_linear", 1.0);
  std::string scaling = keys.all().text(keys.own("rope.scaling.type"), "none");
  if (scaling == "none" && old_factor != 1.0) scaling = "linear";
  if (scaling != "none") rope["rope_type"] = scaling;
  if (scaling == "linear") rope["factor"] = keys.positive("rope.scaling.factor", old_factor);
  const TensorInfo* factors = checkpoint.find("rope_freqs.weight");
  if (factors == nullptr) return rope;
  const auto rule = llama3_rule(checkpoint, *factors, theta, width);
  rope.update(rule ? *rule : Json{{"rope_type", "rope_freqs.weight, not by Llama 3's rule"}});
  return rope;
}

/// The largest releases, by their number of blocks, scale their scores by the shared width.
bool is_largest_gemma(const GgufKeys& keys) {
  return keys.size("block_count") == (keys.architecture() == "gemma2" ? 46 : 62);
}

}  // namespace

void say_head_dim(const Checkpoint&, const GgufKeys& keys, Json& config) {
  config["head_dim"] = head_width(keys);
}

void say_rotary(const Checkpoint& checkpoint, const GgufKeys& keys, Json& config) {
  config["rope_parameters"] = rotary(checkpoint, keys);
}

void say_two_rotaries(const Checkpoint& checkpoint, const GgufKeys& keys, Json& config) {
  config["rope_parameters"] = {
      {"full_attention", rotary(checkpoint, keys)},
      {"sliding_attention",
       {{"rope_type", "default"}, {"rope_theta", keys.positive("rope.freq_base_swa", 10000.0)}}}};
}

void say_mixtral(const Checkpoint&, const GgufKeys& keys, Json& config) {
  if (!keys.has("expert_count")) return;
  config["model_type"] = "mixtral";
  config["num_local_experts"] = keys.size("expert_count");
  config["num_experts_per_tok"] = keys.size("expert_used_count");
}

void say_dense_blocks(const Checkpoint& checkpoint, const GgufKeys& keys, Json& config) {
  Json& dense = config["mlp_only_layers"] = Json::array();
  for (std::int64_t block = 0; block < keys.size("block_count"); ++block)
    if (checkpoint.find(fmt::format("blk.{}.ffn_gate_inp.weight", block)) == nullptr)
      dense.push_back(block);
}

void say_falcon_decoder(const Checkpoint& checkpoint, const GgufKeys& keys, Json& config) {
  const bool two_norms = checkpoint.find("blk.0.attn_norm_2.weight") != nullptr;
  const std::int64_t key_heads = keys.size("attention.head_count_kv", 1);
  config["num_kv_heads"] = key_heads;
  config["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
  // Of 7b all heads share one key; its rows lie as those of a single group would.
  config["new_decoder_architecture"] = two_norms || key_heads > 1;
}

void say_score_scale(const Checkpoint&, const GgufKeys& keys, Json& config) {
  config["query_pre_attn_scalar"] = is_largest_gemma(keys) ? shared_width(keys) : head_width(keys);
}

void say_windows(const Checkpoint&, const GgufKeys& keys, Json& config) {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const auto n_blocks = static_cast<std::size_t>(keys.all().count(keys.own("block_count")));
  Json windows = Json::array();  // of each block whether it has one
  if (!keys.has("attention.sliding_window"))
    windows = std::vector<bool>(n_blocks, false);
  else if (keys.all().has(keys.own(kPattern)) &&
           keys.all().json().at(keys.own(kPattern)).is_array())
    windows = keys.all().json().at(keys.own(kPattern));
  else
    for (std::size_t block = 1, every = static_cast<std::size_t>(keys.size(kPattern, 6));
         block <= n_blocks; ++block)
      windows.push_back(block % every != 0);
  Json& types = config["layer_types"] = Json::array();
  for (const Json& window : windows)
    types.push_back(window == true || window == 1 ? "sliding_attention" : "full_attention");
}

}  // namespace deadray
