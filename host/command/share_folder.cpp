#include "host/command/share_folder.h"

#include "host/base/program_folder.h"

namespace deadray {

std::optional<std::filesystem::path> share_folder() {
  const auto folder = program_folder();
  return folder ? std::optional(folder->parent_path() / DEADRAY_SHARE) : std::nullopt;
}

}  // namespace deadray
