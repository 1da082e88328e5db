#include "host/remote/url.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>

namespace deadray {
namespace {

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

/// Null where libcurl takes it for no URL, or for one of another protocol.
Handle parse(const std::string& url) {
  Handle handle(curl_url(), &curl_url_cleanup);
  if (handle && curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    handle.reset();
  return handle;
}

std::string part(const Handle& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (!url || curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return {};
  std::string result(text);
  curl_free(text);
  return result;
}

std::string without(const std::string& url, std::initializer_list<CURLUPart> parts) {
  const Handle handle = parse(url);
  if (!handle) return {};
  for (const CURLUPart which : parts) curl_url_set(handle.get(), which, nullptr, 0);
  return part(handle, CURLUPART_URL);
}

bool is_unreserved(unsigned char c) {
  return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
}

std::string quote(std::string_view text, std::string_view kept) {
  std::string quoted;
  for (const char c : text)
    if (is_unreserved(static_cast<unsigned char>(c)) || kept.find(c) != kept.npos)
      quoted += c;
    else
      quoted += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return quoted;
}

}  // namespace

std::string origin_of(const std::string& url) {
  const Handle handle = parse(url);
  const std::string scheme = part(handle, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return {};
  std::string host = part(handle, CURLUPART_HOST);
  std::transform(host.begin(), host.end(), host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return fmt::format("{}://{}:{}", scheme, host, part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

bool same_origin(const std::string& a, const std::string& b) {
  const std::string origin = origin_of(a);
  return !origin.empty() && origin == origin_of(b);
}

std::string shown_url(const std::string& url) {
  return without(url, {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT});
}

std::string file_name_of(const std::string& url) {
  const std::string path = part(parse(url), CURLUPART_PATH, CURLU_URLDECODE);
  return path.substr(path.rfind('/') + 1);
}

std::string beside(const std::string& url, std::string_view name) {
  const std::string file = without(url, {CURLUPART_QUERY, CURLUPART_FRAGMENT});
  return file.substr(0, file.rfind('/') + 1) + quote_segment(name);
}

std::string quote_segment(std::string_view text) { return quote(text, ""); }

std::string quote_path(std::string_view path) { return quote(path, "/"); }

}  // namespace deadray
