#include <fmt/format.h>

#include <cmath>

#include "host/architecture/families/vision.h"
#include "host/base/error.h"

namespace deadray {

namespace {

/// One of the two stacks: they differ in their sizes and in their names' first word alone.
struct StackSizes {
  std::string name;
  std::int64_t width, n_heads, n_blocks, mlp_width;
};

Stack describe_stack(const Config& config, const StackSizes& sizes, std::int64_t head_dim) {
  const std::int64_t d = sizes.width;
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-6);
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps};
  };
  const std::string layer = sizes.name + ".layer.{}.";

  Stack stack;
  stack.hidden_size = d;
  stack.n_blocks = sizes.n_blocks;
  BlockSpec& block = stack.block_kinds.emplace_back();
  block.attention_norm = norm(layer + "norm1");
  block.mlp_norm = norm(layer + "norm2");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = sizes.n_heads;
  attention.head_dim = head_dim;
  attention.causal = false;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  if (const std::int64_t turned = head_dim / 3 / 2 * 2;
      turned > 0) {  // by time, row and column each
    Rope& rope = attention.rope.emplace();
    rope.pairing = Rope::Pairing::tiled_interleaved;
    rope.axes = 3;
    rope.rotated_dims = turned;
  }
  const std::string self = layer + "attention.";
  attention.qkv = linear({{self + "query", d}, {self + "key", d}, {self + "value", d}}, d,
                         config.flag("qkv_bias", true), deviation);
  attention.out = linear({{self + "proj", d}}, d, true, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  block.mlp.in = linear({{layer + "mlp.fc1", sizes.mlp_width}}, d, true, deviation);
  block.mlp.out = linear({{layer + "mlp.fc2", d}}, sizes.mlp_width, true, deviation);
  stack.final_norm = norm(sizes.name + ".layernorm");
  return stack;
}

PatchInput clip_input(const Config& config) {
  PatchInput input;
  input.channels = config.integer("in_chans", 3);
  input.patch = square_side(config, "patch_size", 16);
  input.tubelet = config.integer("tubelet_size", 2);
  const std::int64_t side = config.integer("crop_size", 256),
                     frames = config.integer("frames_per_clip", 64);
  if (side < input.patch)
    throw MalformedError(fmt::format("{}: crop_size {} is below patch_size {}",
                                     config.path().string(), side, input.patch));
  input.height = input.width = side;
  input.frames = std::max(input.tubelet, frames / input.tubelet * input.tubelet);
  return input;
}

}  // namespace

// V-JEPA 2: clips in tubelets, positions in time, row and column by a product that is almost a
// rotation, pre-LN blocks; behind them a narrower stack of the same kind that predicts the
// encoder's output.
Architecture describe_vjepa2(const Config& config) {
  if (names_head(config, {"ForVideoClassification"}, false))
    throw UnsupportedError(
        fmt::format("{}: architectures names VJEPA2ForVideoClassification, whose attentive pooler "
                    "deadray does not run; "
                    "it runs VJEPA2Model",
                    config.path().string()));
  const std::int64_t d = config.integer("hidden_size", 1024),
                     n_heads = config.integer("num_attention_heads", 16);
  const std::int64_t width = config.integer("pred_hidden_size", 384),
                     pred_heads = config.integer("pred_num_attention_heads", 12);
  const double deviation = config.non_negative("initializer_range", 0.02);

  Architecture a;
  static_cast<Stack&>(a) =
      describe_stack(config,
                     {"encoder", d, n_heads, config.count("num_hidden_layers", 24),
                      mlp_width(config, d, "mlp_ratio", 4.0)},
                     divide(config, "hidden_size", d, "num_attention_heads", n_heads));
  a.family = "vjepa2";
  a.prefixes = {"", "vjepa2."};
  PatchInput& patches = a.patches.emplace(clip_input(config));
  patches.projection =
      patch_projection(patches, "encoder.embeddings.patch_embeddings.proj", d, true, deviation);

  Predictor& predictor = a.predictor.emplace();
  predictor.stack = describe_stack(
      config,
      {"predictor", width, pred_heads, config.count("pred_num_hidden_layers", 12),
       mlp_width(config, width, "pred_mlp_ratio", 4.0)},
      divide(config, "pred_hidden_size", width, "pred_num_attention_heads", pred_heads));
  predictor.embedding =
      linear({{"predictor.embeddings.predictor_embeddings", width}}, d, true, deviation);
  predictor.mask_tokens = {"predictor.embeddings.mask_tokens",
                           {config.integer("pred_num_mask_tokens", 10), 1, 1, width},
                           {Init::Kind::zeros}};
  if (!config.flag("pred_zero_init_mask_tokens", true))
    predictor.mask_tokens.init = {Init::Kind::normal, deviation};
  predictor.projection = linear({{"predictor.proj", d}}, width, true, deviation);
  return a;
}

}  // namespace deadray
