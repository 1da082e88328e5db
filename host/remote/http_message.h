#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "host/base/partial_file.h"

namespace deadray {

/// Names in lower case. Of a header that comes twice the last counts.
using HttpHeaders = std::map<std::string, std::string, std::less<>>;

/// The value of a header; "" where there is none.
std::string header(const HttpHeaders& headers, std::string_view name);

/// Takes a line "Name: value" in. Others are left out.
void add_header_line(HttpHeaders& headers, std::string_view line);

/// "bytes 0-99/1234", as a server says what it sends.
struct ContentRange {
  std::uint64_t begin = 0, end = 0;  ///< [begin, end)
  std::uint64_t size = 0;            ///< of the whole file
};
/// @return nullopt for another form, for a range that is empty or ends after the file, and where
/// the size is not told ("*")
std::optional<ContentRange> parse_content_range(std::string_view text);

/// How long a server asks to wait, of its Retry-After: seconds or a date.
/// @param now  seconds since 1970
/// @return nullopt where that is neither
std::optional<std::chrono::seconds> parse_retry_after(const std::string& text, std::int64_t now);

/// An ETag as files in a cache are called by it: without quotes and the mark of a weak one.
std::string plain_etag(std::string_view etag);

/// The end of a range that goes to the end of the file.
inline constexpr std::uint64_t kToTheEnd = std::numeric_limits<std::uint64_t>::max();

/// One question to a server.
struct HttpRequest {
  std::string url;
  std::string what;        ///< what messages begin with: "org/name: config.json"
  bool only_head = false;  ///< then what leads to another server is an answer, and not followed
  std::optional<ByteRange> range;
  std::uint64_t last_bytes = 0;      ///< instead of `range`: the last bytes of the file
  std::string if_none_match;         ///< an ETag as the server wrote it
  std::uint64_t most = 100'000'000;  ///< a longer body is an error
  bool is_metadata = true;           ///< which of the two time-outs holds
  std::size_t depth = 1;             ///< 1 + that of the answer that it needed
  /// Gets the body of a good answer as it comes, instead of HttpResponse::body.
  std::function<void(std::span<const char>)> sink;
  /// Called before that, with status and headers.
  std::function<void(const struct HttpResponse&)> begins;
  /// Called before the request is sent again, with itself: bytes that came need not come again.
  std::function<void(HttpRequest&)> again;

  bool is_partial() const { return range.has_value() || last_bytes > 0; }
};

/// What came back at the end of all redirects.
struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
  HttpHeaders first_headers;  ///< of the first answer, which may be a redirect
  std::string body;
  std::string url;  ///< that answered
  std::size_t depth = 1;
  int tries = 1;
  /// The server sent the whole file instead of a range; the body ends where the range does, or
  /// where the file does.
  bool is_whole_file = false;

  bool is_good() const { return status >= 200 && status < 300; }
};

}  // namespace deadray
