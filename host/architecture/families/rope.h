#pragma once

#include <cstdint>
#include <string_view>

#include "host/architecture/config.h"
#include "host/architecture/layer_specs.h"

// Reading the settings of rotary positions.
namespace deadray {

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

}  // namespace deadray
