#include <fmt/format.h>

#include <algorithm>

#include "host/architecture/families/common.h"
#include "host/architecture/families/vision.h"
#include "host/base/error.h"

namespace deadray {

namespace {

/// One of the two stacks: they differ in their sizes and in their names' first word alone.
Stack describe_stack(const Config& config, const std::string& name, const Sizes& sizes) {
  const Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-6)};
  Stack stack = stack_of(parts,
                         {.layer = name + ".layer.{}.",
                          .attention_norm = "norm1",
                          .mlp_norm = "norm2",
                          .qkv = {"attention.query", "attention.key", "attention.value"},
                          .out = "attention.proj",
                          .mlp_in = {"mlp.fc1"},
                          .mlp_out = "mlp.fc2"},
                         {.qkv = config.flag("qkv_bias", true)}, name + ".layernorm");
  BlockSpec& block = stack.block_kinds[0];
  block.attention.causal = false;
  // Time, row and column turn the same number of dimensions each.
  if (const std::int64_t turned = sizes.head_dim / 3 / 2 * 2; turned > 0) {
    Rope& rope = block.attention.rope.emplace();
    rope.pairing = Rope::Pairing::tiled_interleaved;
    rope.axes = 3;
    rope.rotated_dims = turned;
  }
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  return stack;
}

PatchInput clip_input(const Config& config) {
  PatchInput input;
  input.channels = config.integer("in_chans", 3);
  input.patch = square_side(config, "patch_size", 16);
  input.tubelet = config.integer("tubelet_size", 2);
  const std::int64_t side = config.integer("crop_size", 256);
  const std::int64_t frames = config.integer("frames_per_clip", 64);
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
    config.cannot_run(
        "architectures names VJEPA2ForVideoClassification, whose attentive pooler deadray does not "
        "run; it runs VJEPA2Model");
  Sizes sizes;
  sizes.d = config.integer("hidden_size", 1024);
  sizes.n_heads = sizes.n_kv_heads = config.integer("num_attention_heads", 16);
  Sizes pred;
  pred.d = config.integer("pred_hidden_size", 384);
  pred.n_heads = pred.n_kv_heads = config.integer("pred_num_attention_heads", 12);
  const double deviation = initializer_range(config);

  sizes.head_dim = divide(config, "hidden_size", sizes.d, "num_attention_heads", sizes.n_heads);
  sizes.n_blocks = config.count("num_hidden_layers", 24);
  sizes.mlp_width = mlp_width(config, sizes.d, "mlp_ratio", 4.0);
  Architecture a;
  static_cast<Stack&>(a) = describe_stack(config, "encoder", sizes);
  a.family = "vjepa2";
  a.prefixes = {"", "vjepa2."};
  PatchInput& patches = a.patches.emplace(clip_input(config));
  patches.projection = patch_projection(patches, "encoder.embeddings.patch_embeddings.proj",
                                        sizes.d, true, deviation);

  pred.head_dim =
      divide(config, "pred_hidden_size", pred.d, "pred_num_attention_heads", pred.n_heads);
  pred.n_blocks = config.count("pred_num_hidden_layers", 12);
  pred.mlp_width = mlp_width(config, pred.d, "pred_mlp_ratio", 4.0);
  Predictor& predictor = a.predictor.emplace();
  predictor.stack = describe_stack(config, "predictor", pred);
  predictor.embedding =
      linear({{"predictor.embeddings.predictor_embeddings", pred.d}}, sizes.d, true, deviation);
  predictor.mask_tokens = {"predictor.embeddings.mask_tokens",
                           {config.integer("pred_num_mask_tokens", 10), 1, 1, pred.d},
                           {Init::Kind::zeros}};
  if (!config.flag("pred_zero_init_mask_tokens", true))
    predictor.mask_tokens.init = {Init::Kind::normal, deviation};
  predictor.projection = linear({{"predictor.proj", sizes.d}}, pred.d, true, deviation);
  return a;
}

}  // namespace deadray
