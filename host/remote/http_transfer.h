#pragma once

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/remote/http_client.h"

namespace deadray {

using HttpClock = std::chrono::steady_clock;

/// One question on its way, over redirects and tries.
struct HttpClient::Transfer {
  explicit Transfer(HttpRequest asked, Answered then);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /// Sets the handle up for the next hop or try.
  void prepare(const HubSettings& settings);
  std::chrono::milliseconds longest_silence(const HubSettings& settings) const {
    return request.is_metadata ? settings.metadata_timeout : settings.data_timeout;
  }
  bool is_good() const { return response.is_good(); }

  HttpRequest request;
  Answered answered;
  HttpResponse response;
  CURL* handle;
  curl_slist* lines = nullptr;
  std::string url;                ///< of this hop
  std::vector<std::string> hops;  ///< all before
  HttpClock::time_point due{};    ///< not to be sent before
  /// When the last byte came; absent until the question is sent.
  std::optional<HttpClock::time_point> heard;
  std::uint64_t received = 0;        ///< of this try's body
  std::uint64_t total_received = 0;  ///< of all
  bool ended_by_us = false;          ///< all that is needed has come
  std::exception_ptr failure;        ///< thrown inside of libcurl's callbacks

 private:
  static int on_connected(void* self, char*, char*, int, int);
  static std::size_t on_header(char* data, std::size_t, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t, std::size_t count, void* self);
  std::size_t take(std::span<const char> bytes);
  std::uint64_t most_of_this_body() const;
  std::uint64_t announced_length() const;  ///< 0 where it is not told
  [[noreturn]] void refuse_whole_file() const;
  [[noreturn]] void refuse_long(std::uint64_t most) const;
};

/// What to say of a connection that failed.
/// @param received  bytes of the body that came before
std::string explain_transport_failure(const HttpRequest& request, const std::string& url, int code,
                                      std::uint64_t received);

/// Whether a failure is that of a connection which broke, so that the next one may do.
bool is_broken_connection(int code);

}  // namespace deadray
