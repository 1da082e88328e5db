#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
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
  Sizes sizes = picture_sizes(config);
  sizes.mlp_width = config.integer("intermediate_size", 3072);
  Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-12)};
  const bool classifies = names_head(config, {"ForImageClassification"}, false);
  const bool reconstructs = names_head(config, {"ForMaskedImageModeling"}, false);
  parts.sizes.n_blocks = config.count("num_hidden_layers", 12);
  PatchInput patches = vit_embedding(config, parts, 16);
  if (reconstructs)
    patches.mask_token = TensorSpec{"embeddings.mask_token", {1, 1, sizes.d}, {Init::Kind::zeros}};

  Architecture a =
      outline("vit", parts,
              {.prefixes = {"", "vit."},
               .table = "",
               .block = {.layer = "encoder.layer.{}.",
                         .attention_norm = "layernorm_before",
                         .mlp_norm = "layernorm_after",
                         .qkv = {"attention.attention.query", "attention.attention.key",
                                 "attention.attention.value"},
                         .out = "attention.output.dense",
                         .mlp_in = {"intermediate.dense"},
                         .mlp_out = "output.dense"},
               .final_norm = "layernorm"},
              {.qkv = config.flag("qkv_bias", true)});
  if (classifies || reconstructs) a.prefixes = {"vit.", ""};
  a.aliases = {{"encoder.layer.", "layers."},
               {"attention.attention.query", "attention.q_proj"},
               {"attention.attention.key", "attention.k_proj"},
               {"attention.attention.value", "attention.v_proj"},
               {"attention.output.dense", "attention.o_proj"},
               {"intermediate.dense", "mlp.fc1"},
               {"output.dense", "mlp.fc2"}};
  a.patches = patches;
  BlockSpec& block = a.block_kinds[0];
  block.attention.causal = false;
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  const std::int64_t pooled = config.integer("pooler_output_size", sizes.d);
  if (classifies) {
    a.head.emplace();
    a.head->decoder = parts.linear({{"/classifier", n_labels(config)}}, sizes.d, true);
    a.head->reads_class_token = true;
  } else if (!reconstructs) {
    a.pooler = parts.linear({{"pooler.dense", pooled}}, sizes.d, true);
  }
  return a;
}

}  // namespace deadray
