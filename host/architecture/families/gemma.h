#pragma once

#include "host/architecture/families/llama.h"

// What Gemma 1 to 3 share.
namespace deadray {

/// Llama with scales stored less 1 and an embedding scaled by sqrt(d). @param rope  absent: as
/// rope_parameters says
Architecture gemma_like(const Config& config, std::string_view family,
                        std::string_view activation_key, const std::optional<Rope>& rope = {});

/// Norms before and after each sublayer, under Gemma's names: post_attention_layernorm is the
/// attention's output norm.
void use_sandwich_norms(Architecture& architecture);

}  // namespace deadray
