#include "host/remote/http_message.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace deadray {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Takes a number of digits alone off the front.
bool take_number(std::string_view& text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::string header(const HttpHeaders& headers, std::string_view name) {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

void add_header_line(HttpHeaders& headers, std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return;
  std::string name(trimmed(line.substr(0, colon)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  headers[std::move(name)] = trimmed(line.substr(colon + 1));
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  text = trimmed(text);
  ContentRange range;
  std::uint64_t last = 0;
  if (!take(text, "bytes ") || !take_number(text, range.begin) || !take(text, "-") ||
      !take_number(text, last) || !take(text, "/") || !take_number(text, range.size) ||
      !text.empty() || last < range.begin || last >= range.size)
    return std::nullopt;
  range.end = last + 1;
  return range;
}

std::optional<std::chrono::seconds> parse_retry_after(const std::string& text, std::int64_t now) {
  std::string_view rest = trimmed(text);
  if (rest.empty()) return std::nullopt;
  std::uint64_t seconds = 0;
  constexpr std::uint64_t kLongest = 86'400 * 365;
  if (std::all_of(rest.begin(), rest.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::chrono::seconds(take_number(rest, seconds) ? std::min(seconds, kLongest)
                                                           : kLongest);
  const std::int64_t date = curl_getdate(std::string(rest).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<std::int64_t>(0, date - now));
}

std::string plain_etag(std::string_view etag) {
  etag = trimmed(etag);
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

}  // namespace deadray
