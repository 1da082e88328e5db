#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/architecture/families/gemma4.h"
#include "host/base/in_quotes.h"

namespace deadray {

namespace {

/// Column and row turn the halves of each head.
Rope rope_of_tower(const Config& tower, std::int64_t head_dim) {
  Rope rope;
  rope.axes = 2;
  rope.rotated_dims = divide(tower, "head_dim", head_dim, "rotary pairs of two axes", 4) * 2;
  rope.theta = 100.0;
  if (!tower.has("rope_parameters")) return rope;
  const Config settings = tower.object("rope_parameters");
  rope.theta = settings.positive("rope_theta", rope.theta);
  settings.runs_only("partial_rotary_factor", 1.0, "1.0");
  settings.runs_only("factor", 1.0, "1.0");
  if (const std::string type = settings.text("rope_type", "axial");
      type != "axial" && type != "default")  // "default": the released files
    settings.cannot_run(fmt::format("{} is {}; deadray runs axial, also called default",
                                    settings.full_key("rope_type"), in_quotes(type)));
  return rope;
}

}  // namespace

VisionTower describe_gemma4_tower(const Config& config, const Config& tower,
                                  std::int64_t text_width) {
  tower.require("model_type", "gemma4_vision", "gemma4_vision");
  tower.runs_only("use_clipped_linears", false, "towers without clipped maps");
  Sizes sizes;
  sizes.d = tower.integer("hidden_size");
  const std::int64_t d = sizes.d, patch = tower.integer("patch_size", 16);
  const Parts parts{sizes, initializer_range(tower), gemma4_norm(tower)};
  const std::int64_t n_kv_heads = tower.integer("num_key_value_heads");
  const std::int64_t head_dim = tower.integer("head_dim");
  const std::string stem = "vision_tower.";

  VisionTower v;
  v.blocks.hidden_size = d;
  v.blocks.n_blocks = tower.count("num_hidden_layers");
  BlockSpec& block =
      v.blocks.block_kinds.emplace_back(sandwich_block(tower, {.layer = stem + "encoder.layers.{}.",
                                                               .inside = ".linear",
                                                               .n_kv_heads = n_kv_heads,
                                                               .head_dim = head_dim}));
  block.attention.causal = false;
  block.attention.rope = rope_of_tower(tower, head_dim);
  v.patches = parts.linear({{stem + "patch_embedder.input_proj", d}}, 3 * patch * patch, false);
  v.positions = {stem + "patch_embedder.position_embedding_table",
                 {2, tower.integer("position_embedding_size", 10240), d},
                 {Init::Kind::ones}};
  v.pooling = tower.integer("pooling_kernel_size", 3);
  if (tower.flag("standardize", false)) {
    v.shift = TensorSpec{
        .name = stem + "std_bias", .shape = {d}, .init = {Init::Kind::zeros}, .is_buffer = true};
    v.scale = TensorSpec{
        .name = stem + "std_scale", .shape = {d}, .init = {Init::Kind::ones}, .is_buffer = true};
  }
  v.norm = without_scale(parts.norm("embed_vision.embedding_pre_projection_norm"));
  v.projection = linear({{"embed_vision.embedding_projection", text_width}}, d, false,
                        initializer_range(config));
  v.longest = config.integer("vision_soft_tokens_per_image", 280);
  return v;
}

}  // namespace deadray
