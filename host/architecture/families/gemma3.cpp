#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/gemma.h"
#include "host/architecture/families/rope.h"
#include "host/base/error.h"

namespace deadray {

namespace {

/// Rotary settings of one kind of layer: `rope_parameters` has an object for each; in older files
/// `rope_scaling` is the global layers' and the two bases are keys of their own.
Rope rope_of(const Config& config, std::string_view layer_type, std::int64_t head_dim,
             std::string_view theta_key, double default_theta) {
  const double theta = config.positive(theta_key, default_theta);
  if (layer_type == "full_attention" && config.has("rope_scaling"))
    return parse_rope_settings(config.object("rope_scaling"), config, head_dim, theta);
  if (config.has("rope_parameters")) {
    const Config all = config.object("rope_parameters");
    if (all.has(layer_type))
      return parse_rope_settings(all.object(layer_type), config, head_dim, theta);
    if (!all.has("full_attention") && !all.has("sliding_attention"))
      throw MalformedError(fmt::format(
          "{}: {} has neither full_attention nor sliding_attention: Gemma 3 keeps one set for each",
          config.path().string(), config.full_key("rope_parameters")));
  }
  Rope rope;
  rope.rotated_dims = head_dim;
  rope.theta = theta;
  return rope;
}

/// The defaults of its class: a file may leave out all that agrees with them.
const nlohmann::json& class_defaults() {
  static const nlohmann::json kDefaults = {
      {"vocab_size", 262208},      {"hidden_size", 2304},
      {"intermediate_size", 9216}, {"num_hidden_layers", 26},
      {"num_attention_heads", 8},  {"num_key_value_heads", 4},
      {"head_dim", 256},           {"query_pre_attn_scalar", 256},
      {"sliding_window", 4096},    {"sliding_window_pattern", 6},
      {"pad_token_id", 0},         {"tie_word_embeddings", true}};
  return kDefaults;
}

}  // namespace

// Gemma 3: sandwich norms, norms over each head of queries and keys, windowed blocks with a rotary
// base of their own, every sixth global.
Architecture describe_gemma3_text(const Config& given) {
  const Config config = given.with_defaults(class_defaults());
  config.runs_only("attn_logit_softcapping", nullptr, "scores without a cap");
  const std::int64_t head_dim = config.integer("head_dim");
  const Rope local = rope_of(config, "sliding_attention", head_dim, "rope_local_base_freq", 1e4);
  const Rope global = rope_of(config, "full_attention", head_dim, "rope_theta", 1e6);
  Architecture a = gemma_like(config, "gemma3_text", "hidden_activation", global);
  use_sandwich_norms(a);
  add_query_key_norms(a);
  const double logit_cap = config.positive("final_logit_softcapping", 0.0);
  if (a.head) a.head->soft_cap = logit_cap;

  AttentionSpec& attention = a.block_kinds[0].attention;
  attention.causal = !config.flag("use_bidirectional_attention", false);
  attention.scale = 1.0 / std::sqrt(config.positive("query_pre_attn_scalar"));
  const std::int64_t pattern = config.integer("sliding_window_pattern");
  const auto sliding = sliding_blocks(
      config, a.n_blocks, [&](std::int64_t block) { return (block + 1) % pattern != 0; });
  change_blocks(a, sliding, [&](BlockSpec& block) {
    const std::int64_t window = config.integer("sliding_window");
    block.attention.window = block.attention.causal ? window : window / 2 + 1;  // to each side
    block.attention.rope = local;
  });
  return a;
}

// Gemma 3 with pictures: its text part, which runs alone when no picture comes.
Architecture describe_gemma3(const Config& config) {
  const Config text = config.object("text_config");
  text.require("model_type", "gemma3_text", "gemma3_text");
  text.runs_only("use_bidirectional_attention", false, "causal attention beside a vision tower");
  text.runs_only("final_logit_softcapping", nullptr, "logits without a cap beside a vision tower");
  Architecture a = describe_gemma3_text(text);
  a.family = "gemma3";
  a.prefixes = {"language_model.model.", "model.language_model."};
  a.aliases = {{"lm_head.weight", "language_model.lm_head.weight"}};
  if (!names_head(config, {"ForConditionalGeneration", "ForCausalLM"}, true)) a.head.reset();
  if (a.head) a.head->tied = config.flag("tie_word_embeddings", true);
  if (config.has("vision_config")) {
    a.notes.push_back(
        "the text part alone is run: the vision tower and the projector's mm_soft_emb_norm are "
        "left "
        "out");
    a.left_out = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                  "model.multi_modal_projector."};
  }
  return a;
}

}  // namespace deadray
