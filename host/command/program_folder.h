#pragma once

#include <filesystem>
#include <optional>

// Where the running program lies, and what goes with it. Absent where the system does not tell
// (no /proc).
namespace deadray {

/// The folder of the program, links resolved.
std::optional<std::filesystem::path> program_folder();

/// share/deadray of the prefix that the program is installed in: its data and scripts. A build
/// folder has the same layout.
std::optional<std::filesystem::path> share_folder();

/// The catalogue of model types there, whether or not it exists.
std::filesystem::path norm_catalogue_file();

}  // namespace deadray
