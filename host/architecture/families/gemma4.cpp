#include "host/architecture/families/gemma4.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"

namespace deadray {

NormSpec gemma4_norm(const Config& config) {
  NormSpec norm = rms_norm(config, "rms_norm_eps", 1e-6);
  norm.scales_in_fp32 = true;
  return norm;
}

NormSpec without_scale(NormSpec norm) {
  norm.has_scale = false;
  return norm;
}

BlockSpec sandwich_block(const Config& config, const SandwichForm& form) {
  Sizes sizes;
  sizes.d = config.integer("hidden_size");
  sizes.mlp_width = config.integer("intermediate_size");
  Parts parts{sizes, initializer_range(config), gemma4_norm(config)};
  parts.sizes.n_heads = config.integer("num_attention_heads");
  parts.sizes.n_kv_heads = form.n_kv_heads;
  parts.sizes.head_dim = form.head_dim;
  divide(config, "num_attention_heads", parts.sizes.n_heads, "num_key_value_heads",
         form.n_kv_heads);

  const auto wrapped = [&](std::vector<std::string> names) {
    for (std::string& name : names) name += form.inside;
    return names;
  };
  const std::string self = "self_attn.";
  BlockNames names{.layer = form.layer,
                   .mlp_norm = "pre_feedforward_layernorm",
                   .qkv = wrapped({self + "q_proj", self + "k_proj", self + "v_proj"}),
                   .out = self + "o_proj" + form.inside,
                   .mlp_in = wrapped({"mlp.gate_proj", "mlp.up_proj"}),
                   .mlp_out = "mlp.down_proj" + form.inside};
  if (form.values_are_keys) names.qkv.pop_back();
  BlockSpec block = block_of(parts, names, {.qkv = form.bias, .out = form.bias, .mlp = false});
  block.attention_output_norm = parts.norm(form.layer + "post_attention_layernorm");
  block.mlp_output_norm = parts.norm(form.layer + "post_feedforward_layernorm");
  AttentionSpec& attention = block.attention;
  attention.scale = 1.0;  // the norms of queries and keys replace it
  attention.query_norm = parts.norm(form.layer + self + "q_norm", form.head_dim);
  attention.key_norm = parts.norm(form.layer + self + "k_norm", form.head_dim);
  attention.value_norm = without_scale(parts.norm(form.layer + self + "v_norm", form.head_dim));
  block.mlp.activation = parse_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  return block;
}

namespace {

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

/// Adds the tower, and says which tokens its pictures stand in place of and between.
void add_tower(Architecture& architecture, const Config& config) {
  VisionTower tower =
      describe_gemma4_tower(config, config.object("vision_config"), architecture.hidden_size);
  auto& special = architecture.special_tokens;
  const auto token = [&](std::string_view key) -> SpecialToken& {
    return *std::find_if(special.begin(), special.end(),
                         [&](const SpecialToken& t) { return t.key == key; });
  };
  token("image_token_id").is_place = false;  // the tower fills it
  tower.token = token("image_token_id").id;
  tower.begin = token("boi_token_id").id;
  tower.end = token("eoi_token_id").id;
  architecture.vision = std::move(tower);
}

}  // namespace

// Gemma 4 with its vision tower.
Architecture describe_gemma4(const Config& config) {
  config.runs_only("audio_config", nullptr, "models without an audio tower");
  const Config text = config.object("text_config");
  Architecture a = describe_gemma4_language(text, "language_model.");
  a.family = "gemma4";
  a.prefixes = {"model.", ""};
  a.special_tokens = special_tokens(config);
  if (config.has("vision_config")) add_tower(a, config);
  add_gemma4_head(a, config, text);
  return a;
}

}  // namespace deadray
