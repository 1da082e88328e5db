#pragma once

#include <filesystem>
#include <optional>

namespace deadray {

/// The folder that the running program lies in, links resolved; absent where the system does not
/// tell (no /proc).
std::optional<std::filesystem::path> program_folder();

}  // namespace deadray
