#pragma once

#include <string_view>

namespace deadray {

/// Whether a tensor is called as model families call a norm's: …norm…, …ln_…, ….ln…, ln….
bool looks_like_norm(std::string_view tensor);

}  // namespace deadray
