#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/vision.h"

namespace deadray {

namespace {

/// Classes of a classifier: `id2label`, as transformers writes it, or `num_labels`; two where
/// neither is there.
std::int64_t n_labels(const Config& config) {
  if (config.has("id2label"))
    return std::max<std::int64_t>(
        1, static_cast<std::int64_t>(config.object("id2label").json().size()));
  return config.integer("num_labels", 2);
}

}  // namespace

// ViT: pictures in patches behind a class token, learned positions, pre-LN blocks; a pooler or a
// classifier reads the class token. Names as on the hub, and as save_pretrained writes them; the
// aliases are those inside transformers 5.
Architecture describe_vit(const Config& config) {
  const std::int64_t d = config.integer("hidden_size", 768),
                     n_heads = config.integer("num_attention_heads", 12);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const std::int64_t width = config.integer("intermediate_size", 3072);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-12);
  const Init normal{Init::Kind::normal, deviation};
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps};
  };
  const std::string layer = "encoder.layer.{}.";
  const bool classifies = names_head(config, {"ForImageClassification"}, false);
  const bool reconstructs = names_head(config, {"ForMaskedImageModeling"}, false);

  Architecture a;
  a.family = "vit";
  a.hidden_size = d;
  a.n_blocks = config.count("num_hidden_layers", 12);
  a.prefixes = classifies || reconstructs ? std::vector<std::string>{"vit.", ""}
                                          : std::vector<std::string>{"", "vit."};
  a.aliases = {{"encoder.layer.", "layers."},
               {"attention.attention.query", "attention.q_proj"},
               {"attention.attention.key", "attention.k_proj"},
               {"attention.attention.value", "attention.v_proj"},
               {"attention.output.dense", "attention.o_proj"},
               {"intermediate.dense", "mlp.fc1"},
               {"output.dense", "mlp.fc2"}};
  PatchInput& patches = a.patches.emplace(picture_input(config, 224, 16));
  patches.projection =
      patch_projection(patches, "embeddings.patch_embeddings.projection", d, true, deviation);
  patches.class_token = TensorSpec{"embeddings.cls_token", {1, 1, d}, normal};
  if (reconstructs)
    patches.mask_token = TensorSpec{"embeddings.mask_token", {1, 1, d}, {Init::Kind::zeros}};
  patches.positions = TensorSpec{
      "embeddings.position_embeddings", {1, 1 + patches.rows() * patches.columns(), d}, normal};

  BlockSpec& block = a.block_kinds.emplace_back();
  block.attention_norm = norm(layer + "layernorm_before");
  block.mlp_norm = norm(layer + "layernorm_after");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.causal = false;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::string self = layer + "attention.attention.";
  attention.qkv = linear({{self + "query", d}, {self + "key", d}, {self + "value", d}}, d,
                         config.flag("qkv_bias", true), deviation);
  attention.out = linear({{layer + "attention.output.dense", d}}, d, true, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  block.mlp.in = linear({{layer + "intermediate.dense", width}}, d, true, deviation);
  block.mlp.out = linear({{layer + "output.dense", d}}, width, true, deviation);
  a.final_norm = norm("layernorm");
  const std::int64_t pooled = config.integer("pooler_output_size", d);
  if (classifies) {
    a.head.emplace();
    a.head->decoder = linear({{"/classifier", n_labels(config)}}, d, true, deviation);
    a.head->reads_class_token = true;
  } else if (!reconstructs) {
    a.pooler = linear({{"pooler.dense", pooled}}, d, true, deviation);
  }
  return a;
}

}  // namespace deadray
