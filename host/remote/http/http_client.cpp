#include "host/remote/http/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/remote/http/http_transfer.h"
#include "host/remote/http/url.h"

namespace deadray {
namespace {

constexpr int kMostTries = 5;
constexpr std::size_t kMostHops = 10;
constexpr long kMostConnections = 16;      // to one server
constexpr std::size_t kMostRunning = 512;  // as one depth: the norms of a large model go together
constexpr std::chrono::milliseconds kLongestWait{60'000};  // that a server may ask for
constexpr std::chrono::milliseconds kUntoldWait{1'000};    // longer ones are told
constexpr std::uint64_t kProgress = 1 << 20;               // bytes that make a try one that went on
constexpr int kLongestPoll = 50;                           // milliseconds until a signal is seen

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// 0.2, 0.4, 0.8, 1.6 s, and up to a quarter more: not all shall come back at once.
std::chrono::milliseconds pause_before(int attempt) {
  static std::minstd_rand chance(std::random_device{}());
  const double seconds = 0.1 * static_cast<double>(1 << attempt);
  const double jitter = std::uniform_real_distribution<double>(1.0, 1.25)(chance);
  return std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * seconds * jitter));
}

}  // namespace

/// libcurl's own.
struct HttpClient::Handles {
  Handles() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    if (multi == nullptr) throw std::bad_alloc();
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, kMostConnections);
    curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, static_cast<long>(kMostRunning));
  }
  ~Handles() { curl_multi_cleanup(multi); }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  CURLM* multi;
};

HttpClient::HttpClient(HubSettings settings, bool quiet)
    : settings_(std::move(settings)), quiet_(quiet), handles_(std::make_unique<Handles>()) {}

HttpClient::~HttpClient() {
  for (const auto& transfer : running_) curl_multi_remove_handle(handles_->multi, transfer->handle);
}

void HttpClient::send(HttpRequest request, HttpAnswered answered) {
  if (settings_.offline)
    throw NetworkError(
        fmt::format("{}: offline (HF_HUB_OFFLINE is set), and not whole in the cache: unset it, or "
                    "download the model before",
                    request.what));
  queue(std::make_unique<HttpTransfer>(std::move(request), std::move(answered)));
}

void HttpClient::queue(std::unique_ptr<HttpTransfer> transfer) {
  queued_.push_back(std::move(transfer));
}

void HttpClient::start(HttpTransfer& transfer) {
  transfer.prepare(settings_);
  if (transfer.hops.empty()) {
    ++totals_.requests;
    totals_.round_trips = std::max(totals_.round_trips, transfer.response.depth);
  }
  if (const CURLMcode code = curl_multi_add_handle(handles_->multi, transfer.handle);
      code != CURLM_OK)
    throw InternalError(fmt::format("libcurl: {}", curl_multi_strerror(code)));
}

void HttpClient::start_queued() {
  const auto now = HttpClock::now();
  for (std::size_t left = queued_.size(); left > 0 && running_.size() < kMostRunning; --left) {
    std::unique_ptr<HttpTransfer> transfer = std::move(queued_.front());
    queued_.pop_front();
    if (transfer->due > now) {
      queued_.push_back(std::move(transfer));
      continue;
    }
    start(*transfer);
    running_.push_back(std::move(transfer));
  }
}

void HttpClient::call_later(std::chrono::milliseconds pause, std::function<void()> call) {
  calls_.emplace(HttpClock::now() + pause, std::move(call));
}

void HttpClient::call_due() {
  while (!calls_.empty() && calls_.begin()->first <= HttpClock::now()) {
    const std::function<void()> call = std::move(calls_.begin()->second);
    calls_.erase(calls_.begin());
    call();
  }
}

void HttpClient::run() {
  while (!queued_.empty() || !running_.empty() || !calls_.empty()) {
    throw_if_stopped();
    call_due();
    start_queued();
    int still_running = 0;
    if (const CURLMcode code = curl_multi_perform(handles_->multi, &still_running);
        code != CURLM_OK)
      throw InternalError(fmt::format("libcurl: {}", curl_multi_strerror(code)));
    refuse_stalled();  // before what may take its time: meanwhile nobody listens
    finish_ended();
    if (still_running > 0 || (running_.empty() && (!queued_.empty() || !calls_.empty())))
      curl_multi_poll(handles_->multi, nullptr, 0, milliseconds_to_wait(), nullptr);
  }
}

void HttpClient::finish_ended() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(handles_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* handle = message->easy_handle;
    const int code = message->data.result;
    const auto place = std::find_if(running_.begin(), running_.end(),
                                    [&](const auto& one) { return one->handle == handle; });
    if (place == running_.end()) continue;
    std::unique_ptr<HttpTransfer> transfer = std::move(*place);
    running_.erase(place);
    curl_multi_remove_handle(handles_->multi, handle);
    finish(std::move(transfer), code);
  }
}

void HttpClient::finish(std::unique_ptr<HttpTransfer> transfer, int code) {
  totals_.bytes += std::exchange(transfer->total_received, 0);
  if (transfer->failure) std::rethrow_exception(transfer->failure);
  if (transfer->ended_by_us) code = CURLE_OK;
  if (wait_to_try_again(*transfer, code)) return queue(std::move(transfer));
  if (code != CURLE_OK)
    throw NetworkError(
        explain_transport_failure(transfer->request, transfer->url, code, transfer->received));
  if (transfer->hops.empty()) transfer->response.first_headers = transfer->response.headers;
  if (follow(*transfer)) return queue(std::move(transfer));
  transfer->response.url = transfer->url;
  transfer->answered(std::move(transfer->response));
}

bool HttpClient::wait_to_try_again(HttpTransfer& transfer, int code) {
  const int status = transfer.response.status;
  const bool refused = code == CURLE_OK && (status == 429 || status >= 500);
  if (transfer.request.again && transfer.received >= kProgress) transfer.response.tries = 1;
  if ((!refused && !is_broken_connection(code)) || transfer.response.tries >= kMostTries)
    return false;
  std::chrono::milliseconds pause = pause_before(transfer.response.tries);
  const auto asked =
      parse_retry_after(header(transfer.response.headers, "retry-after"), std::time(nullptr));
  if (refused && asked) {
    pause = std::min<std::chrono::milliseconds>(*asked, kLongestWait);
    tell_wait(transfer, pause);
  }
  transfer.due = HttpClock::now() + pause;
  ++transfer.response.tries;
  ++transfer.response.depth;  // the next try waits for this one
  transfer.hops.clear();
  transfer.url = transfer.request.url;
  if (transfer.request.again) transfer.request.again(transfer.request);
  return true;
}

/// Once for all that wait together.
void HttpClient::tell_wait(const HttpTransfer& transfer, std::chrono::milliseconds pause) {
  const auto until = HttpClock::now() + pause;
  if (quiet_ || pause < kUntoldWait || until < told_until_ + kUntoldWait) return;
  told_until_ = until;
  write_message(fmt::format("{}: {} asks to wait {:g} s (status {})", transfer.request.what,
                            origin_of(transfer.url), static_cast<double>(pause.count()) / 1e3,
                            transfer.response.status));
}

/// @return whether there is a further hop, to HttpTransfer::url then
bool HttpClient::follow(HttpTransfer& transfer) {
  const HttpResponse& response = transfer.response;
  if (!is_redirect(response.status)) return false;
  char* target = nullptr;
  curl_easy_getinfo(transfer.handle, CURLINFO_REDIRECT_URL, &target);
  const auto refuse = [&](const std::string& why) {
    throw NetworkError(fmt::format("{}: {} redirects (status {}) {}", transfer.request.what,
                                   origin_of(transfer.url), response.status, why));
  };
  if (target == nullptr) refuse("and does not say where to");
  const std::string next(target);
  if (transfer.request.only_head && !same_origin(transfer.url, next)) return false;
  if (origin_of(next).empty()) refuse("to something else than http or https");
  if (origin_of(transfer.url).starts_with("https:") && !origin_of(next).starts_with("https:"))
    refuse(fmt::format("from https to {}, which is not encrypted", origin_of(next)));
  transfer.hops.push_back(transfer.url);
  if (std::find(transfer.hops.begin(), transfer.hops.end(), next) != transfer.hops.end())
    refuse("in a loop");
  if (transfer.hops.size() > kMostHops)
    refuse(fmt::format("once more after {} redirects", kMostHops));
  ++totals_.redirects;
  transfer.url = next;
  transfer.due = {};
  return true;
}

void HttpClient::refuse_stalled() const {
  const auto now = HttpClock::now();
  for (const auto& transfer : running_) {
    const auto longest = transfer->longest_silence(settings_);
    if (!transfer->heard || now - *transfer->heard < longest) continue;
    throw NetworkError(fmt::format(
        "{}: stalled: {} sent nothing for {:g} s after {} bytes; {} gives it more seconds",
        transfer->request.what, origin_of(transfer->url),
        static_cast<double>(longest.count()) / 1e3, transfer->received,
        transfer->request.is_metadata ? "HF_HUB_ETAG_TIMEOUT" : "HF_HUB_DOWNLOAD_TIMEOUT"));
  }
}

int HttpClient::milliseconds_to_wait() const {
  auto longest = std::chrono::milliseconds(kLongestPoll);
  const auto now = HttpClock::now();
  for (const auto& transfer : queued_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(transfer->due - now);
    longest = std::clamp(left, std::chrono::milliseconds(0), longest);
  }
  return running_.size() >= kMostRunning ? kLongestPoll : static_cast<int>(longest.count());
}

}  // namespace deadray
