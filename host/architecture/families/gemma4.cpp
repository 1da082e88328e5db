#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/base/error.h"

namespace deadray {

namespace {

constexpr std::string_view kSliding = "sliding_attention", kFull = "full_attention";

NormSpec rms(std::string name, std::int64_t width, double eps, bool has_scale = true) {
  NormSpec norm{std::move(name), NormKind::rmsnorm, width, eps, /*has_bias=*/false};
  norm.has_scale = has_scale;
  norm.scales_in_fp32 = true;
  return norm;
}

/// Attention's sizes and what else differs between the blocks of one model.
struct Heads {
  std::string type;
  std::int64_t n_kv_heads = 0, head_dim = 0;
  bool operator==(const Heads&) const = default;
};

/// What the blocks of text and of pictures have in common: four norms of width d, three over the
/// heads, a gated MLP, scores without scale.
/// @param inside  what stands between a map's name and ".weight": the tower's maps are wrapped
BlockSpec sandwich(const Config& config, const std::string& layer, const std::string& inside,
                   const Heads& heads, bool values_are_keys, bool bias) {
  const std::int64_t d = config.integer("hidden_size"), width = config.integer("intermediate_size");
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("rms_norm_eps", 1e-6);
  BlockSpec block;
  block.attention_norm = rms(layer + "input_layernorm", d, eps);
  block.attention_output_norm = rms(layer + "post_attention_layernorm", d, eps);
  block.mlp_norm = rms(layer + "pre_feedforward_layernorm", d, eps);
  block.mlp_output_norm = rms(layer + "post_feedforward_layernorm", d, eps);

  AttentionSpec& attention = block.attention;
  attention.n_heads = config.integer("num_attention_heads");
  attention.n_kv_heads = heads.n_kv_heads;
  attention.head_dim = heads.head_dim;
  attention.scale = 1.0;  // the norms of queries and keys replace it
  divide(config, "num_attention_heads", attention.n_heads, "num_key_value_heads",
         attention.n_kv_heads);
  const std::string self = layer + "self_attn.";
  attention.query_norm = rms(self + "q_norm", heads.head_dim, eps);
  attention.key_norm = rms(self + "k_norm", heads.head_dim, eps);
  attention.value_norm = rms(self + "v_norm", heads.head_dim, eps, /*has_scale=*/false);
  attention.values_are_keys = values_are_keys;
  const std::int64_t queries = attention.n_heads * heads.head_dim,
                     keys = heads.n_kv_heads * heads.head_dim;
  std::vector<std::pair<std::string, std::int64_t>> parts = {{self + "q_proj" + inside, queries},
                                                             {self + "k_proj" + inside, keys}};
  if (!values_are_keys) parts.emplace_back(self + "v_proj" + inside, keys);
  attention.qkv = linear(parts, d, bias, deviation);
  attention.out = linear({{self + "o_proj" + inside, d}}, queries, bias, deviation);

  block.mlp.activation = parse_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  block.mlp.gated = true;
  block.mlp.in =
      linear({{layer + "mlp.gate_proj" + inside, width}, {layer + "mlp.up_proj" + inside, width}},
             d, false, deviation);
  block.mlp.out = linear({{layer + "mlp.down_proj" + inside, d}}, width, false, deviation);
  return block;
}

/// "sliding_attention" or "full_attention" of each block; without `layer_types` every sixth is
/// full. The last always is.
std::vector<std::string> layer_types(const Config& config, std::int64_t n_blocks) {
  std::vector<std::string> types;
  if (config.has("layer_types")) {
    const auto& listed = config.json().at("layer_types");
    for (const auto& type : listed) {
      if (type != kSliding && type != kFull)
        throw UnsupportedError(fmt::format("{}: layer_types holds {}; deadray runs {} and {}",
                                           config.path().string(), type.dump(), kSliding, kFull));
      types.push_back(type.get<std::string>());
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

/// Key heads and their width of each block: `per_layer_config`, or the older global_head_dim and
/// num_global_key_value_heads of full ones.
std::vector<Heads> heads_of_blocks(const Config& config, std::int64_t n_blocks) {
  const std::int64_t n_kv_heads = config.integer("num_key_value_heads"),
                     head_dim = config.integer("head_dim");
  std::vector<Heads> heads;
  for (const std::string& type : layer_types(config, n_blocks))
    heads.push_back({type, n_kv_heads, head_dim});
  if (!config.has("per_layer_config")) {
    const std::int64_t global_dim = config.integer("global_head_dim", 512);
    const std::int64_t global_kv_heads = config.integer("num_global_key_value_heads", n_kv_heads);
    for (Heads& block : heads)
      if (block.type == kFull)
        block = {block.type, config.flag("attention_k_eq_v", false) ? global_kv_heads : n_kv_heads,
                 global_dim};
    return heads;
  }
  const Config overrides = config.object("per_layer_config");
  for (const auto& [key, values] : overrides.json().items()) {
    const bool is_index =
        !key.empty() && key.size() < 10 &&
        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!is_index || std::stoll(key) >= n_blocks)
      throw MalformedError(
          fmt::format("{}: per_layer_config has the key \"{}\", expected a block from 0 to {}",
                      config.path().string(), key, n_blocks - 1));
    const Config own = overrides.object(key);
    for (const auto& [name, value] : own.json().items())
      if (name != "head_dim" && name != "num_key_value_heads")
        throw UnsupportedError(fmt::format(
            "{}: per_layer_config.{} sets {}; deadray runs head_dim and num_key_value_heads alone",
            config.path().string(), key, name));
    Heads& block = heads[static_cast<std::size_t>(std::stoll(key))];
    block.head_dim = own.integer("head_dim", head_dim);
    block.n_kv_heads = own.integer("num_key_value_heads", n_kv_heads);
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
  settings.require("factor", 1.0, "1.0");
  if (type == "default") {
    settings.require("partial_rotary_factor", 1.0, "1.0 with rope_type default");
  } else if (type == "proportional") {
    const double fraction = settings.positive("partial_rotary_factor", given ? 1.0 : 0.25);
    if (fraction > 1.0)
      throw MalformedError(fmt::format("{}: partial_rotary_factor is {}, expected at most 1",
                                       config.path().string(), fraction));
    rope.scaling = Rope::Scaling::proportional;
    rope.turning_pairs =
        static_cast<std::int64_t>(std::floor(fraction * static_cast<double>(heads.head_dim) / 2.0));
  } else {
    throw UnsupportedError(fmt::format(
        "{}: rope_parameters.{}.rope_type is \"{}\"; deadray runs default and proportional",
        config.path().string(), heads.type, type));
  }
  return rope;
}

void refuse_what_does_not_run(const Config& text) {
  text.require("hidden_size_per_layer_input", 0, "models without per-layer embeddings (0)");
  if (!text.has("hidden_size_per_layer_input"))
    throw UnsupportedError(
        fmt::format("{}: hidden_size_per_layer_input is missing, which means 256; deadray runs "
                    "models without per-layer embeddings (0) only",
                    text.path().string()));
  text.require("num_kv_shared_layers", 0, "blocks with keys of their own (0)");
  text.require("enable_moe_block", false, "dense models");
  const std::string both_ways = text.text("use_bidirectional_attention", "vision");
  if (both_ways != "vision")
    throw UnsupportedError(
        fmt::format("{}: use_bidirectional_attention is \"{}\"; deadray runs \"vision\" and null",
                    text.path().string(), both_ways));
}

/// @param stem  what stands before the text model's names, behind the checkpoint's prefix
Architecture describe_text(const Config& text, const std::string& stem) {
  text.require("model_type", "gemma4_text", "gemma4_text");
  refuse_what_does_not_run(text);
  const std::int64_t d = text.integer("hidden_size"), n_blocks = text.count("num_hidden_layers"),
                     vocab = text.integer("vocab_size");
  Architecture a;
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.tokens.emplace();
  a.tokens->table = {
      stem + "embed_tokens.weight",
      {vocab, d},
      {Init::Kind::normal, text.non_negative("initializer_range", 0.02), padding_row(text, 0)}};
  a.tokens->scale = std::sqrt(static_cast<double>(d));
  std::vector<Heads> kinds;
  for (const Heads& heads : heads_of_blocks(text, n_blocks)) {
    const auto known = std::find(kinds.begin(), kinds.end(), heads);
    a.kind_of.push_back(static_cast<int>(known - kinds.begin()));
    if (known != kinds.end()) continue;
    kinds.push_back(heads);
    const bool full = heads.type == kFull;
    BlockSpec& block = a.block_kinds.emplace_back(
        sandwich(text, stem + "layers.{}.", "", heads, full && text.flag("attention_k_eq_v", false),
                 text.flag("attention_bias", false)));
    block.output_scale = TensorSpec{stem + "layers.{}.layer_scalar", {1}, {Init::Kind::ones}};
    block.attention.rope = rope_of_text(text, heads);
    if (full) continue;
    block.attention.window = text.integer("sliding_window", 512);
    block.attention.joins_groups = text.has("use_bidirectional_attention");
  }
  a.final_norm = rms(stem + "norm", d, text.non_negative("rms_norm_eps", 1e-6));
  return a;
}

void add_head(Architecture& a, const Config& config, const Config& text) {
  if (!names_head(config, {"ForCausalLM", "ForConditionalGeneration"}, true)) return;
  HeadSpec head;
  head.decoder = linear({{"/lm_head", a.vocab_size}}, a.hidden_size, false,
                        config.non_negative("initializer_range", 0.02));
  head.tied = config.flag("tie_word_embeddings", true);
  head.soft_cap = text.non_negative("final_logit_softcapping", 0.0);
  a.head = head;
}

std::vector<SpecialToken> special_tokens(const Config& config) {
  std::vector<SpecialToken> tokens;
  for (const auto& [key, id] : {std::pair{"image_token_id", 258880},
                                {"video_token_id", 258884},
                                {"audio_token_id", 258881}})
    tokens.push_back({key, config.integer(key, id), /*is_place=*/true});
  for (const auto& [key, id] : {std::pair{"boi_token_id", 255999},
                                {"eoi_token_id", 258882},
                                {"boa_token_id", 256000},
                                {"eoa_token_index", 258883}})
    tokens.push_back({key, config.integer(key, id), /*is_place=*/false});
  return tokens;
}

/// Column and row turn the halves of each head.
Rope rope_of_tower(const Config& tower, std::int64_t head_dim) {
  Rope rope;
  rope.axes = 2;
  rope.rotated_dims = divide(tower, "head_dim", head_dim, "rotary pairs of two axes", 4) * 2;
  rope.theta = 100.0;
  if (!tower.has("rope_parameters")) return rope;
  const Config settings = tower.object("rope_parameters");
  rope.theta = settings.positive("rope_theta", rope.theta);
  settings.require("partial_rotary_factor", 1.0, "1.0");
  settings.require("factor", 1.0, "1.0");
  if (const std::string type = settings.text("rope_type", "axial");
      type != "axial" && type != "default")  // "default": the released files
    throw UnsupportedError(
        fmt::format("{}: vision_config.rope_parameters.rope_type is \"{}\"; deadray runs axial, "
                    "also called default",
                    tower.path().string(), type));
  return rope;
}

VisionTower describe_tower(const Config& config, const Config& tower, Architecture& text) {
  tower.require("model_type", "gemma4_vision", "gemma4_vision");
  tower.require("use_clipped_linears", false, "towers without clipped maps");
  const std::int64_t d = tower.integer("hidden_size"), patch = tower.integer("patch_size", 16);
  const double deviation = tower.non_negative("initializer_range", 0.02),
               eps = tower.non_negative("rms_norm_eps", 1e-6);
  const Heads heads{"", tower.integer("num_key_value_heads"), tower.integer("head_dim")};
  const std::string stem = "vision_tower.";
  VisionTower v;
  v.blocks.hidden_size = d;
  v.blocks.n_blocks = tower.count("num_hidden_layers");
  BlockSpec& block = v.blocks.block_kinds.emplace_back(
      sandwich(tower, stem + "encoder.layers.{}.", ".linear", heads, false, false));
  block.attention.causal = false;
  block.attention.rope = rope_of_tower(tower, heads.head_dim);
  v.patches =
      linear({{stem + "patch_embedder.input_proj", d}}, 3 * patch * patch, false, deviation);
  v.positions = {stem + "patch_embedder.position_embedding_table",
                 {2, tower.integer("position_embedding_size", 10240), d},
                 {Init::Kind::ones}};
  v.pooling = tower.integer("pooling_kernel_size", 3);
  if (tower.flag("standardize", false)) {
    v.shift = TensorSpec{stem + "std_bias", {d}, {Init::Kind::zeros}};
    v.scale = TensorSpec{stem + "std_scale", {d}, {Init::Kind::ones}};
  }
  v.norm = rms("embed_vision.embedding_pre_projection_norm", d, eps, /*has_scale=*/false);
  v.projection = linear({{"embed_vision.embedding_projection", text.hidden_size}}, d, false,
                        config.non_negative("initializer_range", 0.02));
  v.longest = config.integer("vision_soft_tokens_per_image", 280);
  const auto token = [&](std::string_view key) -> SpecialToken& {
    return *std::find_if(text.special_tokens.begin(), text.special_tokens.end(),
                         [&](const SpecialToken& t) { return t.key == key; });
  };
  token("image_token_id").is_place = false;  // the tower fills it
  v.token = token("image_token_id").id;
  v.begin = token("boi_token_id").id;
  v.end = token("eoi_token_id").id;
  return v;
}

}  // namespace

// Gemma 4's language model: sandwich norms, blocks of two kinds (a window, or all that came
// before), each block's output scaled.
Architecture describe_gemma4_text(const Config& config) {
  Architecture a = describe_text(config, "");
  a.family = "gemma4_text";
  a.prefixes = {"model.", "", "model.language_model.", "language_model."};
  add_head(a, config, config);
  return a;
}

// Gemma 4 with its vision tower.
Architecture describe_gemma4(const Config& config) {
  config.require("audio_config", nullptr, "models without an audio tower");
  const Config text = config.object("text_config");
  Architecture a = describe_text(text, "language_model.");
  a.family = "gemma4";
  a.prefixes = {"model.", ""};
  a.special_tokens = special_tokens(config);
  if (config.has("vision_config"))
    a.vision = describe_tower(config, config.object("vision_config"), a);
  add_head(a, config, text);
  return a;
}

}  // namespace deadray
