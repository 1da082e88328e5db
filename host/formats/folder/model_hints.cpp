#include "host/formats/folder/model_hints.h"

#include <algorithm>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/file_kind.h"
#include "host/formats/hub_cache.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

bool is_part(std::string_view text) {
  return !text.empty() && text[0] != '.' &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "._-") == text.npos;
}

/// "gpt2", as some models of the hub are called for short.
bool is_short_name(std::string_view text) {
  return is_part(text) && !format_of_name(text) && !text.ends_with(".json");
}

/// "org/name", as the hub's names are.
bool is_hub_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != text.npos && is_part(text.substr(0, slash)) && is_part(text.substr(slash + 1));
}

bool holds_weights(const fs::path& folder) {
  try {
    const FolderListing listing = list_folder(folder);
    return std::any_of(listing.formats.begin(), listing.formats.end(),
                       [](const FormatListing& format) { return !format.empty(); });
  } catch (const Error&) {
    return false;  // only a hint is lost
  }
}

}  // namespace

std::string hint_for_missing(const fs::path& model) {
  const std::string name = model.string();
  if (is_short_name(name))
    return "; if it is a model of the hub: give its whole name, org/name (openai-community/gpt2)";
  if (!is_hub_name(name)) return "";
  fs::path cached;
  try {
    cached = find_cached_model(hub_cache(), name).folder;
  } catch (const Error&) {  // only a hint is lost
  }
  if (!cached.empty())
    return fmt::format("; the hub's cache holds such a model: give {}", cached.string());
  return fmt::format("; if it is a name of the hub: `{}` fetches it and prints the folder to give",
                     download_command(name));
}

std::string hint_for_folder(const fs::path& folder, const FolderListing& listing) {
  std::error_code ignored;
  // As the hub's cache has it: models--org--name/snapshots/<commit>.
  const bool is_cached = fs::is_directory(folder / "snapshots", ignored);
  std::vector<std::string> inside;
  try {
    for (const std::string& name :
         is_cached ? list_folder(folder / "snapshots").all : listing.all) {
      const fs::path inner = is_cached ? fs::path("snapshots") / name : fs::path(name);
      if (fs::is_directory(folder / inner, ignored) && holds_weights(folder / inner))
        inside.push_back(inner.string());
    }
  } catch (const Error&) {  // only a hint is lost
  }
  if (inside.empty()) return "";
  return fmt::format("; {} in it hold{} weights: give {}", first_few(inside),
                     inside.size() == 1 ? "s" : "", inside.size() == 1 ? "that" : "one of these");
}

}  // namespace deadray
