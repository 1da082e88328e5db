#include "host/command/program_folder.h"

#include <system_error>

namespace deadray {

std::optional<std::filesystem::path> program_folder() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::nullopt : std::optional(self.parent_path());
}

std::optional<std::filesystem::path> share_folder() {
  const auto folder = program_folder();
  return folder ? std::optional(folder->parent_path() / DEADRAY_SHARE) : std::nullopt;
}

std::filesystem::path norm_catalogue_file() {
  return share_folder().value_or(std::filesystem::path()) / "norms.jsonl";
}

}  // namespace deadray
