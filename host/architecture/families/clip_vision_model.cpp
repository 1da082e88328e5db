#include <cmath>

#include "host/architecture/families/vision.h"

namespace deadray {

// CLIP's picture encoder: a LayerNorm before the first of the pre-LN blocks, and one that reads the
// class token alone after the last.
Architecture describe_clip_vision_model(const Config& config) {
  const std::int64_t d = config.integer("hidden_size", 768),
                     n_heads = config.integer("num_attention_heads", 12);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const std::int64_t width = config.integer("intermediate_size", 3072),
                     n_blocks = config.count("num_hidden_layers", 12);
  const double range = config.non_negative("initializer_range", 0.02),
               factor = config.non_negative("initializer_factor", 1.0);
  const double eps = config.non_negative("layer_norm_eps", 1e-5);
  // The library's own deviations: maps from the stream start smaller with depth, and all fall with
  // its width.
  const double wide = factor / std::sqrt(static_cast<double>(d)),
               deep = wide / std::sqrt(2.0 * static_cast<double>(n_blocks));
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps};
  };
  const std::string layer = "encoder.layers.{}.";

  Architecture a;
  a.family = "clip_vision_model";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.prefixes = {"", "vision_model."};
  PatchInput& patches = a.patches.emplace(picture_input(config, 224, 32));
  patches.projection =
      patch_projection(patches, "embeddings.patch_embedding", d, false, range * factor);
  patches.class_token = TensorSpec{"embeddings.class_embedding", {d}, {Init::Kind::normal, wide}};
  patches.positions = TensorSpec{"embeddings.position_embedding.weight",
                                 {1 + patches.rows() * patches.columns(), d},
                                 {Init::Kind::normal, range * factor}};

  a.input_norm = norm("pre_layrnorm");
  BlockSpec& block = a.block_kinds.emplace_back();
  block.attention_norm = norm(layer + "layer_norm1");
  block.mlp_norm = norm(layer + "layer_norm2");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.causal = false;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::string self = layer + "self_attn.";
  attention.qkv =
      linear({{self + "q_proj", d}, {self + "k_proj", d}, {self + "v_proj", d}}, d, true, deep);
  attention.out = linear({{self + "out_proj", d}}, d, true, wide);
  block.mlp.activation = parse_activation(config, "hidden_act", "quick_gelu");
  block.mlp.in = linear({{layer + "mlp.fc1", width}}, d, true, wide / std::sqrt(2.0));
  block.mlp.out = linear({{layer + "mlp.fc2", d}}, width, true, deep);
  a.final_norm = norm("post_layernorm");
  a.final_norm_reads_class_token = true;
  const std::int64_t shared = config.integer("projection_dim", 512);
  if (names_head(config, {"WithProjection"}, false)) {
    a.prefixes = {"vision_model.", ""};
    a.pooler = linear({{"/visual_projection", shared}}, d, false, wide);
  }
  return a;
}

}  // namespace deadray
