#include "host/remote/hub_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLongestToken = 10'000;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

bool is_set(const char* name) {
  std::string value = environment(name);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "TRUE" || value == "YES" || value == "ON";
}

std::chrono::milliseconds timeout_in(const char* name, std::chrono::milliseconds usual) {
  const std::string value = trimmed(environment(name));
  if (value.empty()) return usual;
  char* end = nullptr;
  const double seconds = std::strtod(value.c_str(), &end);
  if (*end != '\0' || !std::isfinite(seconds) || seconds <= 0.0 || seconds > 1e6)
    throw UsageError(fmt::format("{}: {}: expected seconds above 0", name, in_quotes(value)));
  return std::chrono::milliseconds(std::max<std::int64_t>(1, std::llround(seconds * 1e3)));
}

std::string endpoint() {
  std::string url = trimmed(environment("HF_ENDPOINT"));
  if (url.empty()) return "https://huggingface.co";
  while (url.ends_with('/')) url.pop_back();
  if (origin_of(url).empty())
    throw UsageError(
        "HF_ENDPOINT: is no http or https URL: expected one like "
        "https://huggingface.co");
  return url;
}

fs::path hub_home() {
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home;
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface";
  return fs::path(environment("HOME")) / ".cache/huggingface";
}

/// @param source  the variable or file, for the message, which never shows the token
std::string checked_token(const std::string& text, std::string_view source) {
  const std::string token = trimmed(text);
  const auto is_odd = [](unsigned char c) { return c <= ' ' || c >= 0x7f; };
  const auto odd = std::find_if(token.begin(), token.end(), is_odd);
  if (odd != token.end())
    throw UsageError(fmt::format(
        "{}: byte {} of the token is a space, a control character or no ASCII: set it anew", source,
        odd - token.begin()));
  return token;
}

std::string token() {
  if (is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
    if (std::string found = checked_token(environment(name), name); !found.empty()) return found;
  const std::string named = environment("HF_TOKEN_PATH");
  const fs::path file = named.empty() ? hub_home() / "token" : fs::path(named);
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return {};
  return checked_token(read_text_file(file, kLongestToken), file.string());
}

std::string certificates() {
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"})
    if (std::string path = environment(name); !path.empty()) {
      std::error_code ignored;
      if (!fs::exists(path, ignored))
        throw UsageError(fmt::format("{}: {}: no such file or folder", name, path));
      return path;
    }
  return {};
}

}  // namespace

HubSettings read_hub_settings() {
  HubSettings settings;
  settings.endpoint = endpoint();
  settings.token = token();
  settings.offline = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE");
  settings.metadata_timeout = timeout_in("HF_HUB_ETAG_TIMEOUT", settings.metadata_timeout);
  settings.data_timeout = timeout_in("HF_HUB_DOWNLOAD_TIMEOUT", settings.data_timeout);
  settings.certificates = certificates();
  return settings;
}

std::string shown_endpoint(const HubSettings& settings) {
  std::string shown = shown_url(settings.endpoint);
  while (shown.ends_with('/')) shown.pop_back();
  return shown;
}

fs::path deadray_cache() {
  if (const std::string folder = environment("DEADRAY_CACHE"); !folder.empty()) return folder;
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "deadray";
  return fs::path(environment("HOME")) / ".cache/deadray";
}

}  // namespace deadray
