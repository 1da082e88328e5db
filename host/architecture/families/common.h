#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/config.h"
#include "host/architecture/layer_specs.h"

// Reading the keys that several families have in common. Sizes and rotary positions have headers of
// their own.
namespace deadray {

/// @throws UnsupportedError naming the key and the activations that deadray runs
Activation parse_activation(const Config& config, std::string_view key, std::string_view fallback);

/// Which blocks have a sliding window: as `layer_types` says, by `rule` (of the block's index)
/// where that is absent.
/// @throws UnsupportedError for another type of layer, MalformedError when they are not as many as
/// the blocks
std::vector<bool> sliding_blocks(const Config& config, std::int64_t n_blocks,
                                 const std::function<bool(std::int64_t)>& rule);

/// Whether the first class of `architectures` ends in one of `heads` ("LMHeadModel",
/// "ForCausalLM"); when_absent where it names none.
bool names_head(const Config& config, const std::vector<std::string>& heads, bool when_absent);

/// Row of the padding token, whose embedding starts at zero; -1 when there is none.
/// @throws MalformedError when pad_token_id is no integer
std::int64_t padding_row(const Config& config, std::int64_t fallback);

}  // namespace deadray
