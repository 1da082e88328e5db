#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"

namespace deadray {

namespace {

/// Masked language modelling: dense, activation and norm before the decoder, whose bias has a name
/// of its own.
HeadSpec masked_head(const Config& config, const Parts& parts, Activation activation) {
  const std::string predictions = "/cls.predictions.";
  const std::int64_t d = parts.sizes.d, vocab = parts.sizes.vocab;
  HeadSpec head;
  head.transform =
      HeadSpec::Transform{parts.linear({{predictions + "transform.dense", d}}, d, true), activation,
                          parts.norm(predictions + "transform.LayerNorm")};
  head.decoder = parts.linear({{predictions + "decoder", vocab}}, d, false);
  head.decoder.biases.push_back({predictions + "bias", {vocab}, {Init::Kind::zeros}});
  head.tied = config.flag("tie_word_embeddings", true);
  return head;
}

}  // namespace

// BERT: an embedding LayerNorm, post-LN blocks (the stream is a norm's output), bidirectional
// attention, no final norm of its own.
Architecture describe_bert(const Config& config) {
  config.runs_only("is_decoder", false, "encoders");
  config.runs_only("add_cross_attention", false, "encoders");
  config.runs_only("position_embedding_type", "absolute", "absolute positions");
  const Sizes sizes = read_sizes(config, {.positions = {"max_position_embeddings", 512}});
  const Parts parts{sizes, initializer_range(config), layer_norm(config, "layer_norm_eps", 1e-12)};

  Architecture a = outline(
      "bert", parts,
      {.prefixes = {"bert.", ""},
       .table = "embeddings.word_embeddings",
       .block = {.layer = "encoder.layer.{}.",
                 .attention_norm = "attention.output.LayerNorm",
                 .mlp_norm = "output.LayerNorm",
                 .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
                 .out = "attention.output.dense",
                 .mlp_in = {"intermediate.dense"},
                 .mlp_out = "output.dense"},
       .final_norm = ""});
  a.aliases = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
  a.tokens->table.init.zero_row = padding_row(config, 0);
  add_positions(a, parts, "embeddings.position_embeddings");
  a.tokens->types = parts.table("embeddings.token_type_embeddings",
                                config.integer("type_vocab_size", 2), sizes.d);
  a.input_norm = parts.norm("embeddings.LayerNorm");
  BlockSpec& block = a.block_kinds[0];
  block.wiring = Wiring::post;
  block.attention.causal = false;
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  if (names_head(config, {"ForMaskedLM", "ForPreTraining"}, false))
    a.head = masked_head(config, parts, block.mlp.activation);
  if (!names_head(config, {"ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"}, false))
    a.pooler = parts.linear({{"pooler.dense", sizes.d}}, sizes.d, true);
  return a;
}

}  // namespace deadray
