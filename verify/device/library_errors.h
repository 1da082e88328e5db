#pragma once

#include <functional>

namespace deadray {

/// Runs `body`. What libtorch and CUDA throw becomes an Error of deadray with a message of one
/// line, so that want of memory and of a device is told from a defect.
/// @throws Error, and what else `body` throws
int translate_library_errors(const std::function<int()>& body);

}  // namespace deadray
