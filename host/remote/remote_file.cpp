#include "host/remote/remote_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

std::optional<std::uint64_t> number_in(const HttpHeaders& headers, std::string_view name) {
  const std::string text = header(headers, name);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The server that a signed URL leads to may have taken it back.
bool may_have_run_out(int status) {
  return status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
}

}  // namespace

FileTag file_tag(const HttpHeaders& first) {
  if (std::string linked = header(first, "x-linked-etag"); !linked.empty())
    return {std::move(linked), true};
  std::string etag = header(first, "etag");
  const std::string plain = plain_etag(etag);
  const bool is_hash = (plain.size() == 40 || plain.size() == 64) &&
                       plain.find_first_not_of("0123456789abcdef") == plain.npos;
  return {std::move(etag), is_hash};
}

RemoteFile::RemoteFile(HttpClient& client, std::string url, AskedFor asked, std::string commit)
    : client_(client), url_(std::move(url)), asked_(std::move(asked)), commit_(std::move(commit)) {}

std::string RemoteFile::what() const {
  return asked_.endpoint.empty() ? asked_.repository
                                 : fmt::format("{}: {}", asked_.repository, asked_.file);
}

std::string RemoteFile::shown_url() const { return deadray::shown_url(url_); }

void RemoteFile::read(ByteRange range, std::size_t depth, Received received) {
  HttpRequest request;
  request.range = range;
  request.most = range.end - range.begin;
  send(std::move(request), depth, std::move(received));
}

void RemoteFile::read_end(std::uint64_t count, std::size_t depth, Received received) {
  HttpRequest request;
  request.last_bytes = request.most = count;
  send(std::move(request), depth, std::move(received));
}

void RemoteFile::read_if_other(ByteRange range, const std::string& etag, Received received,
                               std::function<void(std::size_t)> unchanged) {
  HttpRequest request;
  request.range = range;
  request.most = range.end - range.begin;
  request.if_none_match = etag;
  send(std::move(request), 0, std::move(received), std::move(unchanged));
}

void RemoteFile::send(HttpRequest request, std::size_t depth, Received received,
                      std::function<void(std::size_t)> unchanged) {
  const bool is_direct = !final_url_.empty();
  request.url = is_direct ? final_url_ : url_;
  request.what = what();
  request.is_metadata = false;
  request.depth = depth + 1;
  HttpRequest sent = request;
  client_.send(std::move(sent),
               [this, request = std::move(request), is_direct, received = std::move(received),
                unchanged = std::move(unchanged)](HttpResponse response) {
                 if (response.status == 304 && unchanged) return unchanged(response.depth);
                 if (is_direct && may_have_run_out(response.status)) {
                   final_url_.clear();
                   return send(request, response.depth, received);
                 }
                 if (!response.is_good()) refuse(asked_, response);
                 take(request, response, received);
               });
}

void RemoteFile::take(const HttpRequest& request, HttpResponse& response,
                      const Received& received) {
  Piece piece = piece_of(request, response);
  hold_to(request, response, *size_);
  if (response.url != url_) final_url_ = response.url;
  received(std::move(piece), response.depth);
}

void RemoteFile::refuse_changed() const {
  throw NetworkError(fmt::format("{}: changed on the server between requests: run again", what()));
}

/// Compares the answer with what is known of the file, and learns it where it is the first.
void RemoteFile::hold_to(const HttpRequest& request, const HttpResponse& response,
                         std::uint64_t size) {
  if (!size_) size_ = size;
  if (*size_ != size) refuse_changed();
  if (request.url == url_) {
    const std::string commit = header(response.first_headers, "x-repo-commit");
    if (!commit_.empty() && !commit.empty() && commit != commit_)
      throw NetworkError(
          fmt::format("{}: is of commit {}, expected {}: changed on the server, run "
                      "again",
                      what(), in_quotes(commit), commit_));
    FileTag tag = file_tag(response.first_headers);
    if (!tag_.etag.empty() && plain_etag(tag.etag) != plain_etag(tag_.etag)) refuse_changed();
    tag_ = std::move(tag);
  }
  const std::string etag = plain_etag(header(response.headers, "etag"));
  if (!final_etag_.empty() && !etag.empty() && etag != final_etag_) refuse_changed();
  if (!etag.empty()) final_etag_ = etag;
}

/// Learns the size too.
Piece RemoteFile::piece_of(const HttpRequest& request, HttpResponse& response) {
  const auto fail = [&](const std::string& found) {
    throw NetworkError(fmt::format("{}: {} sends {}: try again, or download the file", what(),
                                   origin_of(response.url), found));
  };
  ContentRange came;
  if (response.status == 206) {
    const std::string text = header(response.headers, "content-range");
    const auto parsed = parse_content_range(text);
    if (!parsed) fail(fmt::format("Content-Range {}, expected a range of bytes", in_quotes(text)));
    came = *parsed;
    ByteRange asked = request.range.value_or(
        ByteRange{came.size - std::min(came.size, request.last_bytes), came.size});
    asked.end = std::min(asked.end, came.size);
    if (came.begin != asked.begin || came.end != asked.end)
      fail(fmt::format("Content-Range {} to {} of {}, expected {} to {}", came.begin, came.end,
                       came.size, asked.begin, asked.end));
  } else if (response.status == 200 && response.is_whole_file) {
    const auto size = number_in(response.headers, "content-length");
    if (!size) fail("the whole file and not its size");
    const std::uint64_t end = request.range ? std::min(request.range->end, *size) : *size;
    came = {0, end, *size};
  } else if (response.status == 200 && number_in(response.headers, "content-length") == 0) {
    throw MalformedError(fmt::format("{}: is empty on the server, expected weights", what()));
  } else {
    fail(fmt::format("status {} and no bytes, expected 206", response.status));
  }
  if (response.body.size() != came.end - came.begin)
    fail(fmt::format("{} bytes, expected {}", response.body.size(), came.end - came.begin));
  if (size_ && *size_ != came.size) refuse_changed();
  size_ = came.size;
  return {came.begin, std::move(response.body)};
}

}  // namespace deadray
