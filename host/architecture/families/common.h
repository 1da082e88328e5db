#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"

// What the family files share: building specs, and reading the keys that several families have in
// common.
namespace deadray {

/// A linear map stored as one tensor "<stem>.weight" (and "<stem>.bias") per part, drawn from N(0,
/// deviation), biases 0.
/// @param parts  stem and outputs of each
LinearSpec linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                  std::int64_t inputs, bool bias, double deviation,
                  Storage storage = Storage::out_in);

/// @throws UnsupportedError naming the key and the activations that deadray runs
Activation parse_activation(const Config& config, std::string_view key, std::string_view fallback);

/// total / parts. @throws MalformedError when it does not divide
std::int64_t divide(const Config& config, std::string_view total_key, std::int64_t total,
                    std::string_view parts_key, std::int64_t parts);

/// The size at the first key that is there: transformers reads some sizes under two names.
/// @throws MalformedError naming the last key when there is none
std::int64_t integer_at_any(const Config& config, const std::vector<std::string_view>& keys);

/// Rotary settings from `rope_parameters`, or from the older `rope_theta` and `rope_scaling`, which
/// wins where both are there.
/// @throws UnsupportedError for a rope type other than default, linear, llama3
Rope parse_rope(const Config& config, std::int64_t rotated_dims, double default_theta);

/// The same from the object that holds them (rope_type, rope_theta, factor, ...). @param config the
/// model's, for what they lack
Rope parse_rope_settings(const Config& settings, const Config& config, std::int64_t rotated_dims,
                         double default_theta);

/// The older keys of a family that turns a fraction of each head's dimensions.
struct PartialRotaryKeys {
  std::string_view theta, fraction;
  double default_fraction = 1.0;
};
/// As parse_rope(); the first int(fraction * head_dim) dimensions turn.
/// @throws MalformedError when that is odd or none
Rope parse_partial_rope(const Config& config, std::int64_t head_dim, const PartialRotaryKeys& keys);

/// Which blocks have a sliding window: as `layer_types` says, by `rule` (of the block's index)
/// where that is absent.
/// @throws UnsupportedError for another type of layer, MalformedError when they are not as many as
/// the blocks
std::vector<bool> sliding_blocks(const Config& config, std::int64_t n_blocks,
                                 const std::function<bool(std::int64_t)>& rule);

/// Makes the chosen blocks of a stack that had one kind so far a second kind: a copy of the first
/// with `change` applied.
void change_blocks(Stack& stack, const std::vector<bool>& chosen,
                   const std::function<void(BlockSpec&)>& change);

/// Whether the first class of `architectures` ends in one of `heads` ("LMHeadModel",
/// "ForCausalLM"); when_absent where it names none.
bool names_head(const Config& config, const std::vector<std::string>& heads, bool when_absent);

/// Row of the padding token, whose embedding starts at zero; -1 when there is none.
/// @throws MalformedError when pad_token_id is no integer
std::int64_t padding_row(const Config& config, std::int64_t fallback);

}  // namespace deadray
