#include "host/architecture/families/llama.h"

#include <fmt/format.h>

#include "host/architecture/families/common.h"
#include "host/architecture/families/rope.h"
#include "host/base/error.h"

namespace deadray {

Architecture llama_like(const Config& config, std::string_view family,
                        const LlamaVariant& variant) {
  const Sizes sizes =
      read_sizes(config, {.kv_heads = "num_key_value_heads", .head_dim = "head_dim"});
  require_rotary_pairs(config, sizes.head_dim);
  Parts parts{sizes, initializer_range(config), rms_norm(config, "rms_norm_eps", 1e-6)};
  // No configuration file says it: a GGUF's description does, whose converter added the 1.
  const bool whole = config.flag("scales_are_whole", false);
  parts.any_norm.weight_offset = variant.gemma_norms && !whole ? 1.0 : 0.0;
  parts.any_norm.scales_in_fp32 = variant.gemma_norms;

  Architecture a = outline(family, parts, {}, variant.bias);
  a.tokens->table.init.zero_row = padding_row(config, -1);
  BlockSpec& block = a.block_kinds[0];
  block.attention.rope = variant.rope ? *variant.rope : parse_rope(config, sizes.head_dim, 10000.0);
  block.mlp.activation = parse_activation(config, variant.activation_key, variant.activation);
  add_head(a, config, {.classes = {"ForCausalLM", "ForConditionalGeneration"}});
  return a;
}

Biases attention_biases(const Config& config) {
  const bool bias = config.flag("attention_bias", false);
  return {.qkv = bias, .out = bias, .mlp = false};
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

void use_window(const Config& config, Architecture& architecture) {
  const std::int64_t window = config.integer("sliding_window", 0);
  for (BlockSpec& block : architecture.block_kinds) block.attention.window = window;
}

Routing read_routing(const Config& config) {
  Routing routing;
  // The hub's files have the first key, newer ones the second.
  routing.n_experts = config.count(config.has("num_experts") ? "num_experts" : "num_local_experts");
  routing.per_token = config.integer("num_experts_per_tok");
  return routing;
}

void use_experts(const Config& config, Architecture& architecture, const ExpertNames& names,
                 Routing routing, std::int64_t width) {
  const std::int64_t n_experts = routing.n_experts, d = architecture.hidden_size;
  if (routing.per_token > n_experts)
    throw MalformedError(fmt::format("{}: num_experts_per_tok {} of {} experts",
                                     config.path().string(), routing.per_token, n_experts));
  const double deviation = architecture.tokens->table.init.deviation;
  routing.router = linear({{names.router, n_experts}}, d, false, deviation);
  LinearSpec in = linear({{names.gate, width}, {names.up, width}}, d, false, deviation);
  const std::vector<std::int64_t> fused_shape{n_experts, 2 * width, d};
  in.weights[0].fused = PartOfTensor{names.fused_in, fused_shape, 0};
  in.weights[1].fused = PartOfTensor{names.fused_in, fused_shape, width * d};
  LinearSpec out = linear({{names.down, d}}, width, false, deviation);
  out.weights[0].fused = PartOfTensor{names.fused_out, {n_experts, d, width}, 0};
  for (BlockSpec& block : architecture.block_kinds) {
    block.mlp.routing = routing;
    block.mlp.in = in;
    block.mlp.out = out;
  }
}

Architecture describe_llama(const Config& config) {
  Biases bias = attention_biases(config);
  bias.mlp = config.flag("mlp_bias", false);
  return llama_like(config, "llama", {.bias = bias});
}

}  // namespace deadray
