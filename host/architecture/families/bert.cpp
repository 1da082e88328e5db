#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

// BERT: an embedding LayerNorm, post-LN blocks (the stream is a norm's output), bidirectional
// attention, no final norm of its own.
Architecture describe_bert(const Config& config) {
  config.require("is_decoder", false, "encoders");
  config.require("add_cross_attention", false, "encoders");
  config.require("position_embedding_type", "absolute", "absolute positions");
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     width = config.integer("intermediate_size");
  const std::int64_t vocab = config.integer("vocab_size"),
                     positions = config.integer("max_position_embeddings", 512);
  const std::int64_t head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_eps", 1e-12);
  const Init normal{Init::Kind::normal, deviation};
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps, true, 0.0};
  };

  Architecture a;
  a.family = "bert";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.max_positions = positions;
  a.prefixes = {"bert.", ""};
  a.aliases = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
  a.tokens.emplace();
  a.tokens->table = {"embeddings.word_embeddings.weight",
                     {vocab, d},
                     {Init::Kind::normal, deviation, padding_row(config, 0)}};
  a.tokens->positions = TensorSpec{"embeddings.position_embeddings.weight", {positions, d}, normal};
  a.tokens->types = TensorSpec{
      "embeddings.token_type_embeddings.weight", {config.integer("type_vocab_size", 2), d}, normal};
  a.input_norm = norm("embeddings.LayerNorm");
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::post;
  block.attention_norm = norm("encoder.layer.{}.attention.output.LayerNorm");
  block.mlp_norm = norm("encoder.layer.{}.output.LayerNorm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = attention.n_kv_heads = n_heads;
  attention.head_dim = head_dim;
  attention.causal = false;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::string self = "encoder.layer.{}.attention.self.";
  attention.qkv =
      linear({{self + "query", d}, {self + "key", d}, {self + "value", d}}, d, true, deviation);
  attention.out = linear({{"encoder.layer.{}.attention.output.dense", d}}, d, true, deviation);
  block.mlp.activation = parse_activation(config, "hidden_act", "gelu");
  block.mlp.in = linear({{"encoder.layer.{}.intermediate.dense", width}}, d, true, deviation);
  block.mlp.out = linear({{"encoder.layer.{}.output.dense", d}}, width, true, deviation);
  if (names_head(config, {"ForMaskedLM", "ForPreTraining"}, false)) {
    HeadSpec head;
    head.transform =
        HeadSpec::Transform{linear({{"/cls.predictions.transform.dense", d}}, d, true, deviation),
                            block.mlp.activation, norm("/cls.predictions.transform.LayerNorm")};
    head.decoder = linear({{"/cls.predictions.decoder", vocab}}, d, false, deviation);
    head.decoder.biases.push_back({"/cls.predictions.bias", {vocab}, {Init::Kind::zeros}});
    head.tied = config.flag("tie_word_embeddings", true);
    a.head = head;
  }
  if (!names_head(config, {"ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"}, false))
    a.pooler = linear({{"pooler.dense", d}}, d, true, deviation);
  return a;
}

}  // namespace deadray
