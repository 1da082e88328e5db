#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/vision.h"

namespace deadray {

namespace {

/// Pixels, class token and positions.
/// @param wide  deviation of the class token; the other parts have that of `parts`
PatchInput clip_embedding(const Config& config, const Parts& parts, double wide) {
  const std::int64_t d = parts.sizes.d;
  PatchInput input = picture_input(config, 224, 32);
  input.projection =
      patch_projection(input, "embeddings.patch_embedding", d, false, parts.deviation);
  input.class_token = TensorSpec{"embeddings.class_embedding", {d}, {Init::Kind::normal, wide}};
  input.positions =
      parts.table("embeddings.position_embedding", 1 + input.rows() * input.columns(), d);
  return input;
}

}  // namespace

// CLIP's picture encoder: a LayerNorm before the first of the pre-LN blocks, and one that reads the
// class token alone after the last.
Architecture describe_clip_vision_model(const Config& config) {
  Sizes sizes = picture_sizes(config);
  sizes.mlp_width = config.integer("intermediate_size", 3072);
  sizes.n_blocks = config.count("num_hidden_layers", 12);
  const double range = initializer_range(config);
  const double factor = config.non_negative("initializer_factor", 1.0);
  const Parts parts{sizes, range * factor, layer_norm(config, "layer_norm_eps", 1e-5)};

  Architecture a = outline("clip_vision_model", parts,
                           {.prefixes = {"", "vision_model."},
                            .table = "",
                            .block = {.layer = "encoder.layers.{}.",
                                      .attention_norm = "layer_norm1",
                                      .mlp_norm = "layer_norm2",
                                      .out = "self_attn.out_proj",
                                      .mlp_in = {"mlp.fc1"},
                                      .mlp_out = "mlp.fc2"},
                            .final_norm = "post_layernorm"});
  a.input_norm = parts.norm("pre_layrnorm");
  a.final_norm_reads_class_token = true;
  BlockSpec& block = a.block_kinds[0];
  block.attention.causal = false;
  // The library's own deviations: maps from the stream start smaller with depth, and all fall with
  // its width.
  const double wide = factor / std::sqrt(static_cast<double>(sizes.d));
  const double deep = wide / std::sqrt(2.0 * static_cast<double>(sizes.n_blocks));
  draw_with(block.attention.qkv, deep);
  draw_with(block.attention.out, wide);
  draw_with(block.mlp.in, wide / std::sqrt(2.0));
  draw_with(block.mlp.out, deep);
  a.patches = clip_embedding(config, parts, wide);
  block.mlp.activation = parse_activation(config, "hidden_act", "quick_gelu");
  const std::int64_t shared = config.integer("projection_dim", 512);
  if (names_head(config, {"WithProjection"}, false)) {
    a.prefixes = {"vision_model.", ""};
    a.pooler = linear({{"/visual_projection", shared}}, sizes.d, false, wide);
  }
  return a;
}

// Both towers of CLIP in one file: its picture encoder.
Architecture describe_clip(const Config& config) {
  const Config tower = config.object("vision_config");
  tower.require("model_type", "clip_vision_model", "clip_vision_model");
  Architecture a = describe_clip_vision_model(tower);
  a.family = "clip";
  a.prefixes = {"vision_model.", ""};
  // As CLIPModel itself has it; the tower's own configuration keeps another default.
  const std::int64_t shared = config.integer("projection_dim", 512);
  a.pooler = linear({{"/visual_projection", shared}}, a.hidden_size, false, 0.02);
  a.notes.push_back("the picture tower alone is run: the text tower is left out");
  a.left_out = {"text_model.", "text_projection.", "logit_scale"};
  return a;
}

}  // namespace deadray
