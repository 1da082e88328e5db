#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/gemma4.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"

namespace deadray {

namespace {

constexpr std::string_view kSliding = "sliding_attention", kFull = "full_attention";

/// Key heads and their width in one block, and what else depends on its type.
struct Heads {
  std::string type;
  std::int64_t n_kv_heads = 0, head_dim = 0;
  bool operator==(const Heads&) const = default;
};

/// "sliding_attention" or "full_attention" of each block; without `layer_types` every sixth is
/// full. The last always is.
std::vector<std::string> layer_types(const Config& config, std::int64_t n_blocks) {
  std::vector<std::string> types;
  if (config.has("layer_types")) {
    const auto& listed = config.json().at("layer_types");
    for (const auto& type : listed) {
      if (type != kSliding && type != kFull)
        config.cannot_run(fmt::format("{} holds {}; deadray runs {} and {}",
                                      config.full_key("layer_types"), show_json(type), kSliding,
                                      kFull));
      types.emplace_back(type == kSliding ? kSliding : kFull);
    }
    if (static_cast<std::int64_t>(types.size()) != n_blocks)
      throw MalformedError(
          fmt::format("{}: layer_types lists {} blocks, but num_hidden_layers is {}",
                      config.path().string(), types.size(), n_blocks));
  } else {
    for (std::int64_t i = 0; i < n_blocks; ++i)
      types.emplace_back((i + 1) % 6 == 0 ? kFull : kSliding);
  }
  types.back() = kFull;
  return types;
}

/// The block that a key of per_layer_config names.
std::size_t block_of_key(const Config& config, const std::string& key, std::int64_t n_blocks) {
  const bool is_index =
      !key.empty() && key.size() < 10 &&
      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_index || std::stoll(key) >= n_blocks)
    throw MalformedError(
        fmt::format("{}: per_layer_config has the key \"{}\", expected a block from 0 to {}",
                    config.path().string(), key, n_blocks - 1));
  return static_cast<std::size_t>(std::stoll(key));
}

/// The newer way to give blocks heads of their own: `per_layer_config`.
void override_heads(const Config& config, std::vector<Heads>& heads) {
  const std::int64_t n_kv_heads = config.integer("num_key_value_heads");
  const std::int64_t head_dim = config.integer("head_dim");
  const Config overrides = config.object("per_layer_config");
  for (const auto& [key, values] : overrides.json().items()) {
    Heads& block = heads[block_of_key(config, key, static_cast<std::int64_t>(heads.size()))];
    const Config own = overrides.object(key);
    for (const auto& [name, value] : own.json().items())
      if (name != "head_dim" && name != "num_key_value_heads")
        config.cannot_run(
            fmt::format("{}.{} sets {}; deadray runs head_dim and num_key_value_heads alone",
                        config.full_key("per_layer_config"), key, name));
    block.head_dim = own.integer("head_dim", head_dim);
    block.n_kv_heads = own.integer("num_key_value_heads", n_kv_heads);
  }
}

/// Heads of each block: `per_layer_config`, or the older global_head_dim and
/// num_global_key_value_heads of full ones.
std::vector<Heads> heads_of_blocks(const Config& config, std::int64_t n_blocks) {
  const std::int64_t n_kv_heads = config.integer("num_key_value_heads");
  const std::int64_t head_dim = config.integer("head_dim");
  std::vector<Heads> heads;
  for (const std::string& type : layer_types(config, n_blocks))
    heads.push_back({type, n_kv_heads, head_dim});
  if (config.has("per_layer_config")) {
    override_heads(config, heads);
    return heads;
  }
  const std::int64_t global_dim = config.integer("global_head_dim", 512);
  const std::int64_t global_kv_heads = config.integer("num_global_key_value_heads", n_kv_heads);
  for (Heads& block : heads) {
    if (block.type != kFull) continue;
    block.n_kv_heads = config.flag("attention_k_eq_v", false) ? global_kv_heads : n_kv_heads;
    block.head_dim = global_dim;
  }
  return heads;
}

Rope rope_of_text(const Config& config, const Heads& heads) {
  Rope rope;
  rope.rotated_dims = heads.head_dim;
  divide(config, "head_dim", heads.head_dim, "rotary pair", 2);
  const bool full = heads.type == kFull, given = config.has("rope_parameters");
  const Config settings = given ? config.object("rope_parameters").object(heads.type)
                                : Config::parse("{}", config.path());
  rope.theta = settings.positive("rope_theta", full ? 1e6 : 1e4);
  const std::string type = settings.text("rope_type", full && !given ? "proportional" : "default");
  settings.runs_only("factor", 1.0, "1.0");
  if (type == "default") {
    settings.runs_only("partial_rotary_factor", 1.0, "1.0 with rope_type default");
  } else if (type == "proportional") {
    const double fraction = settings.positive("partial_rotary_factor", given ? 1.0 : 0.25);
    if (fraction > 1.0)
      throw MalformedError(fmt::format("{}: partial_rotary_factor is {}, expected at most 1",
                                       config.path().string(), fraction));
    rope.scaling = Rope::Scaling::proportional;
    rope.turning_pairs =
        static_cast<std::int64_t>(std::floor(fraction * static_cast<double>(heads.head_dim) / 2.0));
  } else {
    settings.cannot_run(fmt::format("{} is {}; deadray runs default and proportional",
                                    settings.full_key("rope_type"), in_quotes(type)));
  }
  return rope;
}

void tell_what_does_not_run(const Config& text) {
  text.runs_only("hidden_size_per_layer_input", 0, "models without per-layer embeddings (0)");
  if (!text.has("hidden_size_per_layer_input"))
    text.cannot_run(
        fmt::format("{} is missing, which means 256; deadray runs models without per-layer "
                    "embeddings (0) only",
                    text.full_key("hidden_size_per_layer_input")));
  text.runs_only("num_kv_shared_layers", 0, "blocks with keys of their own (0)");
  text.runs_only("enable_moe_block", false, "dense models");
  const std::string both_ways = text.text("use_bidirectional_attention", "vision");
  if (both_ways != "vision")
    text.cannot_run(fmt::format("{} is {}; deadray runs \"vision\" and null",
                                text.full_key("use_bidirectional_attention"),
                                in_quotes(both_ways)));
}

BlockSpec text_block(const Config& text, const std::string& stem, const Heads& heads) {
  const bool full = heads.type == kFull;
  SandwichForm form{.layer = stem + "layers.{}.",
                    .inside = "",
                    .n_kv_heads = heads.n_kv_heads,
                    .head_dim = heads.head_dim};
  form.bias = text.flag("attention_bias", false);
  form.values_are_keys = full && text.flag("attention_k_eq_v", false);
  BlockSpec block = sandwich_block(text, form);
  block.output_scale = TensorSpec{.name = form.layer + "layer_scalar",
                                  .shape = {1},
                                  .init = {Init::Kind::ones},
                                  .is_buffer = true};
  block.attention.rope = rope_of_text(text, heads);
  if (full) return block;
  block.attention.window = text.integer("sliding_window", 512);
  block.attention.joins_groups = text.has("use_bidirectional_attention");
  return block;
}

}  // namespace

Architecture describe_gemma4_language(const Config& text, const std::string& stem) {
  text.require("model_type", "gemma4_text", "gemma4_text");
  tell_what_does_not_run(text);
  const std::int64_t d = text.integer("hidden_size");
  Architecture a;
  a.hidden_size = d;
  a.n_blocks = text.count("num_hidden_layers");
  a.vocab_size = text.integer("vocab_size");
  a.tokens.emplace();
  a.tokens->table = {stem + "embed_tokens.weight",
                     {a.vocab_size, d},
                     {Init::Kind::normal, initializer_range(text), padding_row(text, 0)}};
  a.tokens->scale = std::sqrt(static_cast<double>(d));
  std::vector<Heads> kinds;
  for (const Heads& heads : heads_of_blocks(text, a.n_blocks)) {
    const auto known = std::find(kinds.begin(), kinds.end(), heads);
    a.kind_of.push_back(static_cast<int>(known - kinds.begin()));
    if (known != kinds.end()) continue;
    kinds.push_back(heads);
    a.block_kinds.push_back(text_block(text, stem, heads));
  }
  a.final_norm = Parts{.any_norm = gemma4_norm(text)}.norm(stem + "norm", d);
  return a;
}

void add_gemma4_head(Architecture& architecture, const Config& config, const Config& text) {
  if (!names_head(config, {"ForCausalLM", "ForConditionalGeneration"}, true)) return;
  HeadSpec head;
  head.decoder = linear({{"/lm_head", architecture.vocab_size}}, architecture.hidden_size, false,
                        initializer_range(config));
  head.tied = config.flag("tie_word_embeddings", true);
  head.soft_cap = text.non_negative("final_logit_softcapping", 0.0);
  architecture.head = head;
}

// Gemma 4's language model: sandwich norms, blocks of two kinds (a window, or all that came
// before), each block's output scaled.
Architecture describe_gemma4_text(const Config& config) {
  Architecture a = describe_gemma4_language(config, "");
  a.family = "gemma4_text";
  a.prefixes = {"model.", "", "model.language_model.", "language_model."};
  add_gemma4_head(a, config, config);
  return a;
}

}  // namespace deadray
