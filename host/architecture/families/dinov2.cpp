#include "host/architecture/families/common.h"
#include "host/architecture/families/vision.h"

namespace deadray {

namespace {

/// SwiGLU as DINOv2 has it: two thirds of the MLP's width, rounded up to a multiple of 8. The hub's
/// files keep gate and up in one tensor, newer ones apart.
MlpSpec swiglu(const Parts& parts, const std::string& layer) {
  const std::int64_t d = parts.sizes.d;
  const auto two_thirds =
      static_cast<std::int64_t>(static_cast<double>(parts.sizes.mlp_width * 2) / 3);
  const std::int64_t width = (two_thirds + 7) / 8 * 8;
  MlpSpec mlp;
  mlp.activation = Activation::silu;
  mlp.gated = true;
  mlp.in = parts.linear({{layer + "mlp.weights_in", 2 * width}}, d, true);
  mlp.in.alternatives = {
      parts.linear({{layer + "mlp.gate_proj", width}, {layer + "mlp.up_proj", width}}, d, true)};
  mlp.out = parts.linear({{layer + "mlp.weights_out", d}}, width, true);
  return mlp;
}

// DINOv2: pictures in patches behind a class token, positions resized to the picture's grid, pre-LN
// blocks whose sublayers are scaled channel by channel, SwiGLU or a plain MLP. Names as on the hub,
// and as save_pretrained writes them; the aliases are those inside transformers 5.
Architecture describe(const Config& config, std::int64_t default_patch) {
  Parts parts{picture_sizes(config), initializer_range(config),
              layer_norm(config, "layer_norm_eps", 1e-6)};
  const std::int64_t d = parts.sizes.d;
  const bool qkv_bias = config.flag("qkv_bias", true);
  parts.sizes.n_blocks = config.count("num_hidden_layers", 12);
  PatchInput patches = vit_embedding(config, parts, default_patch);
  if (config.flag("use_mask_token", true))
    patches.mask_token = TensorSpec{"embeddings.mask_token", {1, d}, {Init::Kind::zeros}};
  patches.resize = PatchInput::Resize::bicubic_fp32;
  const Init scale{Init::Kind::constant, config.non_negative("layerscale_value", 1.0)};
  parts.sizes.mlp_width = mlp_width(config, d, "mlp_ratio", 4.0);

  const std::string layer = "encoder.layer.{}.";
  Architecture a =
      outline("dinov2", parts,
              {.prefixes = {"", "dinov2."},
               .table = "",
               .block = {.layer = layer,
                         .attention_norm = "norm1",
                         .mlp_norm = "norm2",
                         .qkv = {"attention.attention.query", "attention.attention.key",
                                 "attention.attention.value"},
                         .out = "attention.output.dense",
                         .mlp_in = {"mlp.fc1"},
                         .mlp_out = "mlp.fc2"},
               .final_norm = "layernorm"},
              {.qkv = qkv_bias});
  a.aliases = {{"attention.attention.query", "attention.q_proj"},
               {"attention.attention.key", "attention.k_proj"},
               {"attention.attention.value", "attention.v_proj"},
               {"attention.output.dense", "attention.o_proj"},
               {"mlp.weights_out", "mlp.down_proj"}};
  a.patches = patches;
  BlockSpec& block = a.block_kinds[0];
  block.attention.causal = false;
  block.attention_layer_scale = TensorSpec{layer + "layer_scale1.lambda1", {d}, scale};
  block.mlp_layer_scale = TensorSpec{layer + "layer_scale2.lambda1", {d}, scale};
  if (config.flag("use_swiglu_ffn", false))
    block.mlp = swiglu(parts, layer);  // whatever hidden_act says
  else
    block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
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
