#include "host/formats/folder/own_files.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "host/base/error.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

bool is_under(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first ==
         folder.end();
}

}  // namespace

std::optional<fs::path> outside(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  const fs::path target = fs::canonical(file, error);
  if (error) return std::nullopt;
  const fs::path own = fs::canonical(folder.empty() ? "." : folder, error);
  if (error || is_under(target, own)) return std::nullopt;
  const bool in_blobs = own.parent_path().filename() == "snapshots" &&
                        is_under(target, own.parent_path().parent_path() / "blobs");
  return in_blobs ? std::nullopt : std::optional(target);
}

void refuse_link_outside(const fs::path& file, const fs::path& folder) {
  if (const auto target = outside(file, folder))
    throw MalformedError(
        fmt::format("{}: is a link out of the model's folder, to {}: give a folder that holds the "
                    "files themselves (cp -rL copies them)",
                    file.string(), target->string()));
}

}  // namespace deadray
