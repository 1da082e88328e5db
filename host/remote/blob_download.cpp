#include "host/remote/blob_download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

fs::path incomplete_of(const fs::path& blob) { return blob.string() + ".incomplete"; }

std::uint64_t size_of_file(const fs::path& file) {
  std::error_code error;
  const std::uint64_t size = fs::is_regular_file(file, error) ? fs::file_size(file, error) : 0;
  return error ? 0 : size;
}

int open_for(const fs::path& file, int flags) {
  int descriptor;
  do descriptor = ::open(file.c_str(), flags | O_CREAT | O_CLOEXEC, 0666);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

}  // namespace

std::uint64_t bytes_here(const fs::path& blob) {
  return std::max(size_of_file(blob), size_of_file(incomplete_of(blob)));
}

DownloadLock::~DownloadLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool DownloadLock::take() {
  if (descriptor_ < 0) descriptor_ = open_for(file_, O_RDWR);
  if (descriptor_ < 0)
    throw ResourceError(fmt::format("{}: cannot be opened: {}; HF_HUB_CACHE names another folder",
                                    file_.string(), std::strerror(errno)));
  int result;
  do result = ::flock(descriptor_, LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  return result == 0 || errno != EWOULDBLOCK;  // where there are no locks, all go on
}

BlobDownload::BlobDownload(HttpClient& client, DownloadedFile file, fs::path blob,
                           std::function<void(std::int64_t)> grew)
    : client_(client),
      file_(std::move(file)),
      blob_(std::move(blob)),
      incomplete_(incomplete_of(blob_)),
      grew_(std::move(grew)) {}

BlobDownload::~BlobDownload() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void BlobDownload::fail(const char* doing) const {
  const int error = errno;
  throw ResourceError(
      fmt::format("{}: {} at byte {} of {}: {}{}", incomplete_.string(), doing, have_, file_.size,
                  std::strerror(error),
                  error == ENOSPC ? ": free some room and run again, which goes on there" : ""));
}

void BlobDownload::start(std::function<void()> done) {
  done_ = std::move(done);
  std::error_code ignored;
  if (fs::is_regular_file(blob_, ignored)) return done_();  // another process was faster
  descriptor_ = open_for(incomplete_, O_WRONLY | O_APPEND);
  if (descriptor_ < 0) fail("cannot be opened");
  have_ = size_of_file(incomplete_);
  if (have_ > file_.size) restart();
  if (have_ == file_.size) return publish();
  ask(file_.depth);
}

void BlobDownload::restart() {
  if (::ftruncate(descriptor_, 0) != 0) fail("cannot be emptied");
  grew_(-static_cast<std::int64_t>(have_));
  have_ = 0;
}

void BlobDownload::ask(std::size_t depth) {
  HttpRequest request;
  request.url = file_.url;
  request.what = fmt::format("{}: {}", file_.asked.repository, file_.name);
  request.is_metadata = false;
  request.depth = depth + 1;
  request.sink = [this](std::span<const char> bytes) { write(bytes); };
  request.again = [this](HttpRequest& next) {
    if (have_ > 0) next.range = ByteRange{have_, kToTheEnd};
  };
  request.again(request);
  request.begins = [this](const HttpResponse& response) { begin(response); };
  client_.send(std::move(request), [this](const HttpResponse& response) { finish(response); });
}

void BlobDownload::begin(const HttpResponse& response) {
  const auto refuse_other = [&](const std::string& found) {
    throw NetworkError(fmt::format("{}: {}: {} sends {}: changed on the server, run again",
                                   file_.asked.repository, file_.name, origin_of(response.url),
                                   found));
  };
  const HttpHeaders& first =
      response.first_headers.empty() ? response.headers : response.first_headers;
  if (plain_etag(file_tag(first).etag) != plain_etag(file_.tag.etag))
    refuse_other("another content");
  if (response.status == 200 && have_ > 0) restart();  // the server knows no ranges
  if (response.status != 206) return;
  const std::string text = header(response.headers, "content-range");
  const auto range = parse_content_range(text);
  if (!range || range->begin != have_ || range->size != file_.size)
    refuse_other(fmt::format("Content-Range {}, expected bytes {}-{}/{}", in_quotes(text), have_,
                             file_.size - 1, file_.size));
}

void BlobDownload::write(std::span<const char> bytes) {
  if (bytes.size() > file_.size - have_)
    throw NetworkError(
        fmt::format("{}: {}: the server sends more than the {} bytes that it "
                    "announced: run again",
                    file_.asked.repository, file_.name, file_.size));
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot be written");
    have_ += static_cast<std::uint64_t>(count);
    grew_(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void BlobDownload::finish(const HttpResponse& response) {
  if (!response.is_good()) refuse(file_.asked, response);
  if (have_ != file_.size)
    throw NetworkError(
        fmt::format("{}: {}: {} bytes came, expected {}: run again, which goes on "
                    "there",
                    file_.asked.repository, file_.name, have_, file_.size));
  publish();
}

void BlobDownload::publish() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EINTR) fail("cannot be flushed");
  if (::rename(incomplete_.c_str(), blob_.c_str()) != 0) fail("cannot be renamed");
  ::close(std::exchange(descriptor_, -1));
  done_();
}

}  // namespace deadray
