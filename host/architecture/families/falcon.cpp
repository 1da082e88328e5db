#include <fmt/format.h>

#include <cmath>

#include "host/architecture/families/common.h"
#include "host/base/error.h"

namespace deadray {

namespace {

/// How the decoders of the releases differ. The library would fail on the other combinations.
struct Decoder {
  bool is_new = false, is_parallel = true;  // 40b, 11B: rows grouped by key head, always parallel
  std::int64_t n_parallel_norms = 1;        // 2: attention and MLP have one each
  std::int64_t n_kv_heads = 1;
};

Decoder parse_decoder(const Config& config, std::int64_t n_heads) {
  Decoder decoder;
  decoder.is_new = config.flag("new_decoder_architecture", false);
  decoder.is_parallel = config.flag("parallel_attn", true);
  decoder.n_parallel_norms = config.integer("num_ln_in_parallel_attn", decoder.is_new ? 2 : 1);
  const bool multi_query = config.flag("multi_query", true);
  decoder.n_kv_heads = config.integer("num_kv_heads", n_heads);
  divide(config, "num_attention_heads", n_heads, "num_kv_heads", decoder.n_kv_heads);
  const auto refuse = [&](std::string_view what) {
    throw UnsupportedError(fmt::format("{}: {}", config.path().string(), what));
  };
  if (decoder.is_new && !decoder.is_parallel)
    refuse("parallel_attn is false; deadray runs true only with new_decoder_architecture");
  if (decoder.n_parallel_norms > (decoder.is_new ? 2 : 1))
    refuse(fmt::format(
        "num_ln_in_parallel_attn is {}; deadray runs 1, and 2 with new_decoder_architecture",
        decoder.n_parallel_norms));
  if (decoder.is_new) return decoder;
  if (!multi_query && decoder.n_kv_heads != n_heads)
    refuse(
        fmt::format("num_kv_heads is {} with {} heads and neither multi_query nor "
                    "new_decoder_architecture; deadray runs as many key "
                    "heads as heads there",
                    decoder.n_kv_heads, n_heads));
  decoder.n_kv_heads =
      multi_query ? 1 : n_heads;  // whatever num_kv_heads says: a re-saved 7b says 71
  return decoder;
}

}  // namespace

// Falcon: of 7b attention and MLP read one norm, of 40b one each; of rw-1b they follow each other,
// with ALiBi instead of rotary positions.
Architecture describe_falcon(const Config& config) {
  const std::int64_t d = integer_at_any(config, {"n_embed", "hidden_size"}),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     width = config.integer("ffn_hidden_size", 4 * d);
  const std::int64_t vocab = config.integer("vocab_size"),
                     head_dim = divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("layer_norm_epsilon", 1e-5);
  const bool bias = config.flag("bias", false);
  const Decoder decoder = parse_decoder(config, n_heads);
  const auto norm = [&](std::string name) {
    return NormSpec{std::move(name), NormKind::layernorm, d, eps, true, 0.0};
  };

  Architecture a;
  a.family = "falcon";
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"transformer.", ""};
  a.tokens.emplace();
  a.tokens->table = {"word_embeddings.weight", {vocab, d}, {Init::Kind::normal, deviation}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = decoder.is_parallel ? Wiring::parallel : Wiring::pre;
  block.attention_norm =
      norm(decoder.n_parallel_norms == 2 ? "h.{}.ln_attn" : "h.{}.input_layernorm");
  if (decoder.n_parallel_norms == 2) block.mlp_norm = norm("h.{}.ln_mlp");
  if (!decoder.is_parallel) block.mlp_norm = norm("h.{}.post_attention_layernorm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = n_heads;
  attention.n_kv_heads = decoder.n_kv_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  if (config.flag("alibi", false)) {
    attention.alibi = Alibi{.scaled = true, .rounds_bfloat16 = true};
  } else {
    divide(config, "head_dim", head_dim, "rotary pair", 2);
    attention.rope = parse_rope(config, head_dim, 10000.0);
  }
  attention.packing = Packing::groups;
  attention.qkv =
      linear({{"h.{}.self_attention.query_key_value", d + 2 * decoder.n_kv_heads * head_dim}}, d,
             bias, deviation);
  attention.out = linear({{"h.{}.self_attention.dense", d}}, d, bias, deviation);
  block.mlp.activation = parse_activation(config, "activation", "gelu");
  block.mlp.in = linear({{"h.{}.mlp.dense_h_to_4h", width}}, d, bias, deviation);
  block.mlp.out = linear({{"h.{}.mlp.dense_4h_to_h", d}}, width, bias, deviation);
  a.final_norm = norm("ln_f");
  if (names_head(config, {"ForCausalLM"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", true)};
  return a;
}

}  // namespace deadray
