#include <fmt/format.h>

#include "host/architecture/families/common.h"
#include "host/architecture/families/outline.h"
#include "host/architecture/families/rope.h"

namespace deadray {

namespace {

/// How the decoders of the releases differ. The library would fail on the other combinations.
struct Decoder {
  bool is_new = false;  ///< 40b, 11B: rows grouped by key head, always parallel
  bool is_parallel = true;
  std::int64_t n_parallel_norms = 1;  ///< 2: attention and MLP have one each
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
  if (decoder.is_new && !decoder.is_parallel)
    config.cannot_run(
        "parallel_attn is false; deadray runs true only with new_decoder_architecture");
  if (decoder.n_parallel_norms > (decoder.is_new ? 2 : 1))
    config.cannot_run(fmt::format(
        "num_ln_in_parallel_attn is {}; deadray runs 1, and 2 with new_decoder_architecture",
        decoder.n_parallel_norms));
  if (decoder.is_new) return decoder;
  if (!multi_query && decoder.n_kv_heads != n_heads)
    config.cannot_run(fmt::format(
        "num_kv_heads is {} with {} heads and neither multi_query nor new_decoder_architecture; "
        "deadray runs as many key heads as heads there",
        decoder.n_kv_heads, n_heads));
  // Whatever num_kv_heads says: a re-saved 7b says 71.
  decoder.n_kv_heads = multi_query ? 1 : n_heads;
  return decoder;
}

}  // namespace

// Falcon: of 7b attention and MLP read one norm, of 40b one each; of rw-1b they follow each other,
// with ALiBi instead of rotary positions.
Architecture describe_falcon(const Config& config) {
  Parts parts{read_sizes(config, {.hidden = {"n_embed", "hidden_size"},
                                  .mlp_width = "ffn_hidden_size",
                                  .mlp_ratio = 4}),
              initializer_range(config), layer_norm(config, "layer_norm_epsilon", 1e-5)};
  const bool bias = config.flag("bias", false);
  const Decoder decoder = parse_decoder(config, parts.sizes.n_heads);
  parts.sizes.n_kv_heads = decoder.n_kv_heads;

  ModelNames names{.prefixes = {"transformer.", ""},
                   .table = "word_embeddings",
                   .block = {.layer = "h.{}.",
                             .qkv = {"self_attention.query_key_value"},
                             .out = "self_attention.dense",
                             .mlp_in = {"mlp.dense_h_to_4h"},
                             .mlp_out = "mlp.dense_4h_to_h"},
                   .final_norm = "ln_f"};
  if (decoder.is_parallel) names.block.mlp_norm = "";
  if (decoder.n_parallel_norms == 2) {
    names.block.attention_norm = "ln_attn";
    names.block.mlp_norm = "ln_mlp";
  }
  Architecture a = outline("falcon", parts, names, {.qkv = bias, .out = bias, .mlp = bias});
  BlockSpec& block = a.block_kinds[0];
  block.wiring = decoder.is_parallel ? Wiring::parallel : Wiring::pre;
  AttentionSpec& attention = block.attention;
  attention.packing = Packing::groups;
  if (config.flag("alibi", false)) {
    attention.alibi = Alibi{.scaled = true, .rounds_bfloat16 = true};
  } else {
    require_rotary_pairs(config, attention.head_dim);
    attention.rope = parse_rope(config, attention.head_dim, 10000.0);
  }
  block.mlp.activation = parse_activation(config, "activation", "gelu");
  add_head(a, config, {.tied = true});
  return a;
}

}  // namespace deadray
