#pragma once

#include <string_view>

namespace deadray {

/// What to do about a file whose bytes contradict each other: the end of a message.
inline constexpr std::string_view kDamaged = "truncated or damaged, fetch it again";

}  // namespace deadray
