#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "host/remote/http/http_message.h"
#include "host/remote/hub_settings.h"

namespace deadray {

/// What a client has taken from the network.
struct HttpTotals {
  std::uint64_t bytes = 0;      ///< of bodies
  std::size_t requests = 0;     ///< sent, again where an answer was asked for again
  std::size_t redirects = 0;    ///< followed; in `requests` only the question counts
  std::size_t round_trips = 0;  ///< the longest chain of requests of which each needed the last
};

struct HttpTransfer;

/// Asks many questions at once, over one pool of connections: HTTP/2 where a server offers it, at
/// most 16 connections a server where it does not. Redirects are followed here; the token goes to
/// the endpoint alone. An answer of 429 or 5xx, and a connection that breaks, are asked again, five
/// times in all; where a file goes on where it broke, five times without a mebibyte more. No other
/// failure is.
class HttpClient {
 public:
  /// @param quiet  not to tell that a server asks to wait
  explicit HttpClient(HubSettings settings, bool quiet = false);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// Queues a question. `answered` is called by run(), whatever the status, and may call send().
  void send(HttpRequest request, HttpAnswered answered);
  /// run() calls it once, that much later.
  void call_later(std::chrono::milliseconds pause, std::function<void()> call);
  /// Until all is answered and called.
  /// @throws NetworkError what() names the file, and server or proxy; Stopped
  /// @throws MalformedError an answer longer than HttpRequest::most
  /// What `answered` throws ends it too.
  void run();

  const HttpTotals& totals() const noexcept { return totals_; }
  const HubSettings& settings() const noexcept { return settings_; }

 private:
  struct Handles;
  void call_due();
  void start_queued();
  void start(HttpTransfer& transfer);
  void finish_ended();
  void finish(std::unique_ptr<HttpTransfer> transfer, int code);
  void queue(std::unique_ptr<HttpTransfer> transfer);
  bool follow(HttpTransfer& transfer);
  bool wait_to_try_again(HttpTransfer& transfer, int code);
  void tell_wait(const HttpTransfer& transfer, std::chrono::milliseconds pause);
  void refuse_stalled() const;
  int milliseconds_to_wait() const;

  HubSettings settings_;
  bool quiet_;
  std::chrono::steady_clock::time_point told_until_;
  HttpTotals totals_;
  std::unique_ptr<Handles> handles_;
  std::vector<std::unique_ptr<HttpTransfer>> running_;
  std::deque<std::unique_ptr<HttpTransfer>> queued_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> calls_;
};

}  // namespace deadray
