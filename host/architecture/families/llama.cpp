#include "host/architecture/families/llama.h"

#include <fmt/format.h>

#include <cmath>

#include "host/base/error.h"

namespace deadray {

Architecture llama_like(const Config& config, std::string_view family,
                        const LlamaVariant& variant) {
  const std::int64_t d = config.integer("hidden_size"),
                     n_blocks = config.count("num_hidden_layers");
  const std::int64_t n_heads = config.integer("num_attention_heads"),
                     n_kv_heads = config.integer("num_key_value_heads", n_heads);
  const std::int64_t width = config.integer("intermediate_size"),
                     vocab = config.integer("vocab_size");
  divide(config, "num_attention_heads", n_heads, "num_key_value_heads", n_kv_heads);
  const std::int64_t head_dim =
      config.has("head_dim") ? config.integer("head_dim")
                             : divide(config, "hidden_size", d, "num_attention_heads", n_heads);
  divide(config, "head_dim", head_dim, "rotary pair", 2);
  const double deviation = config.non_negative("initializer_range", 0.02),
               eps = config.non_negative("rms_norm_eps", 1e-6);
  const auto norm = [&](std::string name) {
    NormSpec spec{std::move(name), NormKind::rmsnorm, d, eps, false};
    spec.weight_offset = variant.gemma_norms ? 1.0 : 0.0;
    spec.scales_in_fp32 = variant.gemma_norms;
    return spec;
  };

  Architecture a;
  a.family = family;
  a.hidden_size = d;
  a.n_blocks = n_blocks;
  a.vocab_size = vocab;
  a.prefixes = {"model.", ""};
  a.tokens.emplace();
  a.tokens->table = {
      "embed_tokens.weight", {vocab, d}, {Init::Kind::normal, deviation, padding_row(config, -1)}};
  BlockSpec& block = a.block_kinds.emplace_back();
  block.wiring = Wiring::pre;
  block.attention_norm = norm("layers.{}.input_layernorm");
  block.mlp_norm = norm("layers.{}.post_attention_layernorm");
  AttentionSpec& attention = block.attention;
  attention.n_heads = n_heads;
  attention.n_kv_heads = n_kv_heads;
  attention.head_dim = head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  attention.rope = variant.rope ? *variant.rope : parse_rope(config, head_dim, 10000.0);
  const std::string self = "layers.{}.self_attn.";
  attention.qkv = linear({{self + "q_proj", n_heads * head_dim},
                          {self + "k_proj", n_kv_heads * head_dim},
                          {self + "v_proj", n_kv_heads * head_dim}},
                         d, variant.qkv_bias, deviation);
  attention.out = linear({{self + "o_proj", d}}, n_heads * head_dim, variant.out_bias, deviation);
  block.mlp.activation = parse_activation(config, variant.activation_key, variant.activation);
  block.mlp.gated = true;
  block.mlp.in = linear({{"layers.{}.mlp.gate_proj", width}, {"layers.{}.mlp.up_proj", width}}, d,
                        variant.mlp_bias, deviation);
  block.mlp.out = linear({{"layers.{}.mlp.down_proj", d}}, width, variant.mlp_bias, deviation);
  a.final_norm = norm("norm");
  if (names_head(config, {"ForCausalLM", "ForConditionalGeneration"}, true))
    a.head = HeadSpec{{},
                      linear({{"/lm_head", vocab}}, d, false, deviation),
                      config.flag("tie_word_embeddings", false)};
  return a;
}

NormSpec norm_like(const Architecture& architecture, std::string name, std::int64_t width) {
  NormSpec norm = *architecture.final_norm;
  norm.name = std::move(name);
  norm.width = width;
  return norm;
}

void add_query_key_norms(Architecture& architecture) {
  for (BlockSpec& block : architecture.block_kinds) {
    AttentionSpec& attention = block.attention;
    attention.query_norm =
        norm_like(architecture, "layers.{}.self_attn.q_norm", attention.head_dim);
    attention.key_norm = norm_like(architecture, "layers.{}.self_attn.k_norm", attention.head_dim);
  }
}

void use_experts(const Config& config, MlpSpec& mlp, const ExpertNames& names, Routing routing,
                 std::int64_t d, std::int64_t width) {
  const std::int64_t n_experts = routing.n_experts;
  if (routing.per_token > n_experts)
    throw MalformedError(fmt::format("{}: num_experts_per_tok {} of {} experts",
                                     config.path().string(), routing.per_token, n_experts));
  const double deviation = config.non_negative("initializer_range", 0.02);
  routing.router = linear({{names.router, n_experts}}, d, false, deviation);
  mlp.routing = routing;
  mlp.in = linear({{names.gate, width}, {names.up, width}}, d, false, deviation);
  mlp.out = linear({{names.down, d}}, width, false, deviation);
  const std::vector<std::int64_t> shape{n_experts, 2 * width, d};
  mlp.in.weights[0].fused = PartOfTensor{names.fused_in, shape, 0};
  mlp.in.weights[1].fused = PartOfTensor{names.fused_in, shape, width * d};
  mlp.out.weights[0].fused = PartOfTensor{names.fused_out, {n_experts, d, width}, 0};
}

Architecture describe_llama(const Config& config) {
  const bool attention_bias = config.flag("attention_bias", false);
  return llama_like(config, "llama",
                    {.qkv_bias = attention_bias,
                     .out_bias = attention_bias,
                     .mlp_bias = config.flag("mlp_bias", false)});
}

}  // namespace deadray
