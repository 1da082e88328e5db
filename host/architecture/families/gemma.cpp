#include "host/architecture/families/gemma.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace deadray {

Architecture gemma_like(const Config& config, std::string_view family,
                        std::string_view activation_key, const std::optional<Rope>& rope) {
  Architecture a = llama_like(config, family,
                              {.bias = attention_biases(config),
                               .gemma_norms = true,
                               .activation_key = activation_key,
                               .activation = "gelu_pytorch_tanh",
                               .rope = rope});
  a.tokens->scale = std::sqrt(static_cast<double>(a.hidden_size));
  return a;
}

void use_sandwich_norms(Architecture& architecture) {
  for (BlockSpec& block : architecture.block_kinds) {
    const auto norm = [&](const char* name) {
      return norm_like(architecture, name, architecture.hidden_size);
    };
    block.attention_output_norm = norm("layers.{}.post_attention_layernorm");
    block.mlp_norm = norm("layers.{}.pre_feedforward_layernorm");
    block.mlp_output_norm = norm("layers.{}.post_feedforward_layernorm");
  }
}

// Gemma: Llama with scales stored less 1, an embedding scaled by sqrt(d), a tied head.
Architecture describe_gemma(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 16},
                                             {"head_dim", 256},
                                             {"pad_token_id", 0},
                                             {"tie_word_embeddings", true}});
  config.runs_only("use_bidirectional_attention", false, "causal attention");
  Architecture a = gemma_like(config, "gemma", "hidden_act");
  // The first files say "gelu" and mean its tanh form.
  if (a.block_kinds[0].mlp.activation == Activation::gelu_erf)
    a.block_kinds[0].mlp.activation = Activation::gelu_tanh;
  return a;
}

}  // namespace deadray
