#pragma once

#include <filesystem>
#include <optional>

namespace deadray {

/// share/deadray of the prefix that the program is installed in: data and scripts that go with it.
/// A build folder has the same layout. Absent where the system does not tell where the program
/// lies.
std::optional<std::filesystem::path> share_folder();

}  // namespace deadray
