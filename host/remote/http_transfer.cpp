#include "host/remote/http_transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/error.h"
#include "host/base/version.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

/// As much of a whole file is read where a server does not know ranges.
constexpr std::uint64_t kMostInsteadOfRange = 1 << 20;
/// Of a body that says why there is nothing.
constexpr std::uint64_t kMostOfErrors = 1 << 16;

std::string range_text(const HttpRequest& request) {
  if (request.last_bytes > 0) return fmt::format("-{}", request.last_bytes);
  const ByteRange& range = *request.range;
  return range.end == kToTheEnd ? fmt::format("{}-", range.begin)
                                : fmt::format("{}-{}", range.begin, range.end - 1);
}

template <typename Value>
void set(CURL* handle, CURLoption option, Value value) {
  if (const CURLcode code = curl_easy_setopt(handle, option, value); code != CURLE_OK)
    throw InternalError(fmt::format("libcurl refuses option {}: {}", static_cast<int>(option),
                                    curl_easy_strerror(code)));
}

}  // namespace

HttpClient::Transfer::Transfer(HttpRequest asked, Answered then)
    : request(std::move(asked)),
      answered(std::move(then)),
      handle(curl_easy_init()),
      url(request.url) {
  if (handle == nullptr) throw std::bad_alloc();
  response.depth = request.depth;
}

HttpClient::Transfer::~Transfer() {
  curl_easy_cleanup(handle);
  curl_slist_free_all(lines);
}

void HttpClient::Transfer::prepare(const HubSettings& settings) {
  curl_easy_reset(handle);
  curl_slist_free_all(std::exchange(lines, nullptr));
  response.status = 0, response.headers.clear(), response.body.clear();
  response.is_whole_file = ended_by_us = false;
  heard.reset();
  received = 0;
  set(handle, CURLOPT_PRIVATE, static_cast<void*>(this));
  set(handle, CURLOPT_URL, url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_NOSIGNAL, 1L);
  set(handle, CURLOPT_QUICK_EXIT, 1L);  // waits for no name server at the end
  set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(handle, CURLOPT_PIPEWAIT, 1L);
  // A hint: libcurl refuses it where an earlier hop shared its connection, and keeps its buffer.
  curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 1L << 19);
  set(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings.metadata_timeout.count()));
  set(handle, CURLOPT_USERAGENT, fmt::format("deadray/{}", version()).c_str());
  if (request.only_head) set(handle, CURLOPT_NOBODY, 1L);
  if (request.is_partial()) set(handle, CURLOPT_RANGE, range_text(request).c_str());
  if (!settings.certificates.empty()) {
    std::error_code ignored;
    const bool is_folder = std::filesystem::is_directory(settings.certificates, ignored);
    set(handle, is_folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, settings.certificates.c_str());
  }
  if (!request.if_none_match.empty())
    lines = curl_slist_append(lines, ("If-None-Match: " + request.if_none_match).c_str());
  if (!settings.token.empty() && same_origin(url, settings.endpoint))
    lines = curl_slist_append(lines, ("Authorization: Bearer " + settings.token).c_str());
  set(handle, CURLOPT_HTTPHEADER, lines);
  set(handle, CURLOPT_PREREQFUNCTION, &on_connected);
  set(handle, CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(handle, CURLOPT_HEADERFUNCTION, &on_header);
  set(handle, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(handle, CURLOPT_WRITEFUNCTION, &on_body);
  set(handle, CURLOPT_WRITEDATA, static_cast<void*>(this));
}

int HttpClient::Transfer::on_connected(void* self, char*, char*, int, int) {
  static_cast<Transfer*>(self)->heard = HttpClock::now();
  return CURL_PREREQFUNC_OK;
}

std::size_t HttpClient::Transfer::on_header(char* data, std::size_t, std::size_t count,
                                            void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.heard = HttpClock::now();
  const std::string_view line(data, count);
  if (line.starts_with("HTTP/")) {  // also after a "100 Continue"
    transfer.response.headers.clear();
    long status = 0;
    curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = static_cast<int>(status);
  } else {
    add_header_line(transfer.response.headers, line);
  }
  return count;
}

std::size_t HttpClient::Transfer::on_body(char* data, std::size_t, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.heard = HttpClock::now();
  transfer.total_received += count;
  try {
    return transfer.take({data, count});
  } catch (...) {
    transfer.failure = std::current_exception();
    return 0;  // libcurl then ends the transfer
  }
}

void HttpClient::Transfer::refuse_whole_file() const {
  throw NetworkError(fmt::format(
      "{}: {} answers a range of bytes with the whole file (status 200, expected 206): the server "
      "does not serve ranges; download the file and give its path",
      request.what, origin_of(url)));
}

std::uint64_t HttpClient::Transfer::announced_length() const {
  curl_off_t length = -1;
  curl_easy_getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length < 0 ? 0 : static_cast<std::uint64_t>(length);
}

void HttpClient::Transfer::refuse_long(std::uint64_t most) const {
  throw MalformedError(fmt::format("{}: {} sends more than {} bytes, expected at most these",
                                   request.what, origin_of(url), most));
}

std::uint64_t HttpClient::Transfer::most_of_this_body() const {
  if (!is_good()) return kMostOfErrors;
  if (!response.is_whole_file) return request.most;
  return request.last_bytes > 0 ? kMostInsteadOfRange : request.range->end;
}

std::size_t HttpClient::Transfer::take(std::span<const char> bytes) {
  if (received == 0 && request.is_partial() && response.status == 200) {
    response.is_whole_file = true;
    if (!request.sink && request.range && request.range->end > kMostInsteadOfRange)
      refuse_whole_file();
  }
  if (received == 0 && is_good() && request.begins) request.begins(response);
  received += bytes.size();
  if (is_good() && request.sink) {
    request.sink(bytes);
    return bytes.size();
  }
  const std::uint64_t most = most_of_this_body();
  if (is_good() && !response.is_whole_file && announced_length() > most) refuse_long(most);
  const std::size_t room =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), most - response.body.size()));
  response.body.append(bytes.data(), room);
  if (room == bytes.size()) return room;
  if (response.is_whole_file && request.last_bytes > 0) refuse_whole_file();
  if (is_good() && !response.is_whole_file) refuse_long(most);
  ended_by_us = true;
  return 0;
}

}  // namespace deadray
