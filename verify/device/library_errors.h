#pragma once

#include <functional>

namespace deadray {

/// Runs `body`, turning what libtorch and CUDA throw into deadray's own errors of one line: want of
/// memory and devices by their own names.
/// @throws Error, and what `body` throws otherwise
int translate_library_errors(const std::function<int()>& body);

}  // namespace deadray
