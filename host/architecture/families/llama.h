#pragma once

#include "host/architecture/families/common.h"

// The decoder that Llama and its kin share: RMSNorm, rotary positions, grouped queries, gated MLP.
namespace deadray {

/// How a family of Llama's kin differs.
struct LlamaVariant {
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool gemma_norms = false;  ///< scales stored less 1 (so drawn as 0), multiplied before the
                             ///< rounding to a half type
  std::string_view activation_key = "hidden_act", activation = "silu";
  std::optional<Rope> rope{};  ///< absent: as rope_parameters says
};

/// Blocks of one kind, full causal attention. The class defaults of keys that decide something must
/// be in `config` already (Config::with_defaults): num_key_value_heads, head_dim, rms_norm_eps,
/// rope_theta, tie_word_embeddings, pad_token_id; what is absent or null then is as in Llama.
Architecture llama_like(const Config& config, std::string_view family, const LlamaVariant& variant);

/// The norm of a block, or outside the blocks, called `name`, as this family has it.
NormSpec norm_like(const Architecture& architecture, std::string name, std::int64_t width);

/// Puts norms over each head on queries and keys: "<self>q_norm", "<self>k_norm".
void add_query_key_norms(Architecture& architecture);

/// Checkpoint names of a mixture's tensors; "{e}" is the expert's number.
struct ExpertNames {
  std::string router, gate, up, down;  ///< stems
  std::string fused_in,
      fused_out;  ///< [n_experts, 2 width, d], gate rows first, and [n_experts, d, width]
};
/// A mixture of gated experts in the place of a dense MLP. @param routing  all but the router
/// @throws MalformedError when more experts are to be chosen than there are
void use_experts(const Config& config, MlpSpec& mlp, const ExpertNames& names, Routing routing,
                 std::int64_t d, std::int64_t width);

}  // namespace deadray
