#include "host/hub/hub_name.h"

#include <algorithm>

#include "host/formats/file_kind.h"

namespace deadray {
namespace {

constexpr std::string_view kLettersAndDigits =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// An organisation or a model as the hub allows them.
bool is_part(std::string_view text) {
  const auto is_allowed = [](char c) {
    return kLettersAndDigits.find(c) != std::string_view::npos || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 96 && text.front() != '.' && text.front() != '-' &&
         text.back() != '.' && text.find("..") == text.npos && text.find("--") == text.npos &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

bool is_repository(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return is_part(text);
  return is_part(text.substr(0, slash)) && is_part(text.substr(slash + 1));
}

/// What ends like a file is a path, even with one slash in it.
bool is_file_name(std::string_view text) {
  return format_of_name(text).has_value() || text.ends_with(".json") || text.ends_with(".npy");
}

std::optional<HubName> parse_url(std::string_view text) {
  const std::string_view path = text.substr(0, text.find_first_of("?#"));
  const auto is_plain = [](char c) { return c > ' ' && c != 0x7f; };
  if (!std::all_of(text.begin(), text.end(), is_plain) || !format_of_name(path))
    return std::nullopt;
  return HubName{{}, {}, std::string(text)};
}

}  // namespace

std::string HubName::text() const {
  if (is_url()) return url;
  return revision.empty() ? repository : repository + "@" + revision;
}

bool is_url(std::string_view text) {
  return text.starts_with("https://") || text.starts_with("http://");
}

std::string shown_url(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const std::size_t host = url.find("//");
  if (host == url.npos) return std::string(url);
  const std::size_t end = std::min(url.find('/', host + 2), url.size());
  const std::size_t at = url.substr(0, end).rfind('@');
  if (at == url.npos || at < host) return std::string(url);
  return std::string(url.substr(0, host + 2)).append(url.substr(at + 1));
}

bool is_revision(std::string_view text) {
  const auto is_allowed = [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("~^:?*[\\\"<>|").find(c) == std::string::npos;
  };
  return !text.empty() && text.size() <= 255 && text.front() != '/' && text.back() != '/' &&
         text.front() != '.' && text.front() != '-' && text.find("..") == text.npos &&
         text.find("//") == text.npos && text.find("/.") == text.npos &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

std::optional<HubName> parse_hub_name(std::string_view text) {
  if (is_url(text)) return parse_url(text);
  const std::size_t at = text.find('@');
  HubName name{std::string(text.substr(0, at)), {}, {}};
  if (!is_repository(name.repository)) return std::nullopt;
  if (at == text.npos) return is_file_name(text) ? std::nullopt : std::optional(std::move(name));
  name.revision = text.substr(at + 1);
  return is_revision(name.revision) ? std::optional(std::move(name)) : std::nullopt;
}

}  // namespace deadray
