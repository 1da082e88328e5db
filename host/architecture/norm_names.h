#pragma once

#include <string_view>

// What the names of norms and tensors say of their place.
namespace deadray {

/// Whether a comes before b, numbers in them compared by their value: "h.9.ln" before "h.10.ln".
bool comes_before(std::string_view a, std::string_view b);

/// Whether a site belongs to a block or another numbered part: "h.3.ln_1", "layer_3.norm",
/// "norms.3"; not "ln_1", "encoder.norm2".
bool is_in_numbered_part(std::string_view site);

}  // namespace deadray
