#include <cmath>

#include "host/architecture/families/vision.h"

namespace deadray {

namespace {

// DINOv2: pictures in patches behind a class token, positions resized to the picture's grid, pre-LN
// blocks whose sublayers are scaled channel by channel, SwiGLU or a plain MLP. Names as on the hub,
// and as save_pretrained writes them; the aliases are those inside transformers 5.
Architecture describe(const Config& config, std::int64_t default_patch) {
  const std::int64_t d = config.integer("hidden_size", 768),
                     n_heads = config.integer("num_attention_heads", 12);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-6);
  const bool qkv_bias = config.flag("qkv_bias", true);
  const Init normal{Init::Kind::normal, deviation};
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps};
  };
  const std::string layer = "encoder.layer.{}.";

  Architecture a;
  a.family = "dinov2";
  a.hidden_size = d;
  a.n_blocks = config.count("num_hidden_layers", 12);
  a.prefixes = {"", "dinov2."};
  a.aliases = {{"attention.attention.query", "attention.q_proj"},
               {"attention.attention.key", "attention.k_proj"},
               {"attention.attention.value", "attention.v_proj"},
               {"attention.output.dense", "attention.o_proj"},
               {"mlp.weights_out", "mlp.down_proj"}};
  PatchInput& patches = a.patches.emplace(picture_input(config, 224, default_patch));
  patches.projection =
      patch_projection(patches, "embeddings.patch_embeddings.projection", d, true, deviation);
  patches.class_token = TensorSpec{"embeddings.cls_token", {1, 1, d}, normal};
  if (config.flag("use_mask_token", true))
    patches.mask_token = TensorSpec{"embeddings.mask_token", {1, d}, {Init::Kind::zeros}};
  patches.positions = TensorSpec{
      "embeddings.position_embeddings", {1, 1 + patches.rows() * patches.columns(), d}, normal};
  patches.resize = PatchInput::Resize::bicubic_fp32;

  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::pre;
  block.attention_norm = norm(layer + "norm1");
  block.mlp_norm = norm(layer + "norm2");
  const Init scale{Init::Kind::constant, config.non_negative("layerscale_value", 1.0)};
  block.attention_layer_scale = TensorSpec{layer + "layer_scale1.lambda1", {d}, scale};
  block.mlp_layer_scale = TensorSpec{layer + "layer_scale2.lambda1", {d}, scale};
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.causal = false;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::string self = layer + "attention.attention.";
  attention.qkv =
      linear({{self + "query", d}, {self + "key", d}, {self + "value", d}}, d, qkv_bias, deviation);
  attention.out = linear({{layer + "attention.output.dense", d}}, d, true, deviation);
  const std::int64_t width = mlp_width(config, d, "mlp_ratio", 4.0);
  if (config.flag("use_swiglu_ffn", false)) {  // whatever hidden_act says
    const std::int64_t gated_width =
        (static_cast<std::int64_t>(static_cast<double>(width * 2) / 3) + 7) / 8 * 8;
    block.mlp.activation = Activation::silu;
    block.mlp.gated = true;
    block.mlp.in = linear({{layer + "mlp.weights_in", 2 * gated_width}}, d, true, deviation);
    block.mlp.in.alternatives = {
        linear({{layer + "mlp.gate_proj", gated_width}, {layer + "mlp.up_proj", gated_width}}, d,
               true, deviation)};
    block.mlp.out = linear({{layer + "mlp.weights_out", d}}, gated_width, true, deviation);
  } else {
    block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
    block.mlp.in = linear({{layer + "mlp.fc1", width}}, d, true, deviation);
    block.mlp.out = linear({{layer + "mlp.fc2", d}}, width, true, deviation);
  }
  a.final_norm = norm("layernorm");
  return a;
}

}  // namespace

Architecture describe_dinov2(const Config& config) { return describe(config, 14); }

// DINOv2 with register tokens, without positions, between class token and patches. Positions are
// resized with antialiasing.
Architecture describe_dinov2_with_registers(const Config& config) {
  Architecture a = describe(config, 16);
  a.family = "dinov2_with_registers";
  a.prefixes = {"", "dinov2_with_registers."};
  a.patches->register_tokens =
      TensorSpec{"embeddings.register_tokens",
                 {1, config.integer("num_register_tokens", 4), a.hidden_size},
                 {Init::Kind::zeros}};
  a.patches->resize = PatchInput::Resize::antialiased_fp32;
  return a;
}

}  // namespace deadray
