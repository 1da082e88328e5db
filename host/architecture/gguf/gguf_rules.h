#pragma once

#include <nlohmann/json_fwd.hpp>

#include "host/architecture/gguf/gguf_keys.h"
#include "host/formats/checkpoint.h"

// What a GGUF file says of a model in more than one key, or by its tensors. Each adds to what
// config.json would say; hidden_size, num_attention_heads and num_hidden_layers are there already
// where they are read.
namespace deadray {

/// head_dim: key_length, else the width shared among the heads.
void say_head_dim(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// rope_parameters. Llama 3's factors are recognised by their values; what the executor does not
/// run keeps its name, so that it is told.
void say_rotary(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// The same of Gemma 3, whose windowed blocks turn by a base of their own.
void say_two_rotaries(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// Mixtral goes by Llama's name.
void say_mixtral(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// mlp_only_layers: the blocks without a router.
void say_dense_blocks(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// Falcon's releases, told apart by their norms and key heads.
void say_falcon_decoder(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// query_pre_attn_scalar: the width of a head, but for the largest Gemma 2 and 3.
void say_score_scale(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);
/// layer_types of Gemma 3: without a window all blocks see everything.
void say_windows(const Checkpoint& checkpoint, const GgufKeys& keys, nlohmann::json& config);

}  // namespace deadray
