#pragma once

#include "host/architecture/families/llama.h"

namespace deadray {

/// Sliding windows of Qwen2 and Qwen3: none unless use_sliding_window; then of the blocks from
/// max_window_layers on, or as layer_types says.
/// @throws MalformedError when a block is to have a window and there is none
void use_windows_of_qwen(const Config& config, Architecture& architecture);

}  // namespace deadray
