#include <curl/curl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "host/remote/http_transfer.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

/// The variable by which libcurl took a proxy for a URL; "" where none is set.
std::string proxy_variable(const std::string& url) {
  const bool secure = url.starts_with("https:");
  // Of http the name in capitals is not read: servers set it from a header (CGI).
  for (const char* name : {secure ? "https_proxy" : "http_proxy", secure ? "HTTPS_PROXY" : "",
                           "all_proxy", "ALL_PROXY"})
    if (const char* value = *name ? std::getenv(name) : nullptr; value && *value) return name;
  return {};
}

}  // namespace

bool is_broken_connection(int code) {
  switch (code) {
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

std::string explain_transport_failure(const HttpRequest& request, const std::string& url, int code,
                                      std::uint64_t received) {
  const std::string server = origin_of(url), proxy = proxy_variable(url);
  const auto said = [&](const std::string& problem) {
    return fmt::format("{}: {}", request.what, problem);
  };
  const std::string through =
      proxy.empty() ? "" : fmt::format(" (through the proxy that {} names)", proxy);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return said(
          fmt::format("the name of {} cannot be resolved: is there a network? HF_ENDPOINT "
                      "names another server, https_proxy a proxy",
                      server));
    case CURLE_COULDNT_RESOLVE_PROXY:
      return said(fmt::format("the proxy's name cannot be resolved: check {}",
                              proxy.empty() ? "http_proxy and https_proxy" : proxy));
    case CURLE_PROXY:
      return said(fmt::format("the proxy refuses: check {}", proxy));
    case CURLE_COULDNT_CONNECT:
      return said(fmt::format("no connection to {}{}: refused or unreachable{}", server, through,
                              proxy.empty() ? "" : fmt::format("; check {}", proxy)));
    case CURLE_OPERATION_TIMEDOUT:
      return said(
          fmt::format("no connection to {}{} in time: HF_HUB_ETAG_TIMEOUT gives it more seconds",
                      server, through));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
      return said(
          fmt::format("no trusted connection to {}{}: {}; SSL_CERT_FILE names a file of "
                      "further certificates",
                      server, through, curl_easy_strerror(static_cast<CURLcode>(code))));
    case CURLE_PARTIAL_FILE:
      return said(
          fmt::format("{} ends its answer after {} bytes, before its announced length; "
                      "asked 5 times",
                      server, received));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return said(fmt::format("no URL that deadray reads: expected http or https"));
    case CURLE_WEIRD_SERVER_REPLY:
      return said(fmt::format("{} answers something else than HTTP", server));
    default:
      break;
  }
  const char* reason = curl_easy_strerror(static_cast<CURLcode>(code));
  return said(is_broken_connection(code)
                  ? fmt::format("{}{} closed the connection before its answer was whole ({}); "
                                "asked 5 times",
                                server, through, reason)
                  : fmt::format("{}{}: {}", server, through, reason));
}

}  // namespace deadray
