#include "host/remote/url_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/remote/http/url.h"
#include "host/remote/wanted_bytes.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLongestConfig = 10'000'000;

}  // namespace

UrlFetch::UrlFetch(HttpClient& client, ModelName name, Purpose purpose, const fs::path& cache,
                   fs::path catalogue)
    : client_(client),
      url_(name.url),
      file_(file_name_of(name.url)),
      folder_(cache / "urls" / short_hash(shown_url(name.url))),
      purpose_(purpose),
      catalogue_(std::move(catalogue)) {
  result_.name = std::move(name);
  result_.file = file_;
  const AskedFor asked{"", shown_url(url_), "", file_, !client_.settings().token.empty()};
  remote_ = std::make_unique<RemoteFile>(client_, url_, asked);
}

std::string UrlFetch::last_etag() const {
  const fs::path current = folder_ / "current";
  std::error_code ignored;
  return fs::is_regular_file(current, ignored) ? read_text_file(current, 1000) : "";
}

fs::path UrlFetch::folder_of(const FileTag& tag) const {
  return folder_ / blob_name(tag, "", shown_url(url_));
}

void UrlFetch::start() {
  if (client_.settings().offline) return take_from_cache();
  result_.from_network = true;
  const std::string etag = last_etag();
  std::error_code ignored;
  const fs::path known = etag.empty() ? fs::path() : folder_of({etag, false});
  const bool is_known = !known.empty() && fs::exists(known / file_, ignored);
  pending_ = 1;
  remote_->read_if_other(
      {0, kFirstPiece}, is_known ? etag : "",
      [this](Piece piece, std::size_t depth) {
        first_ = std::move(piece);
        depth_ = std::max(depth_, depth);
        result_.folder = folder_of({remote_->tag().etag, false});
        if (!config_) ask_config();
        if (--pending_ == 0) proceed();
      },
      [this, known](std::size_t depth) {
        depth_ = depth;
        result_.folder = known;
        fetch_weights();
      });
  if (!is_known) ask_config();
}

void UrlFetch::take_from_cache() {
  const std::string etag = last_etag();
  std::error_code ignored;
  result_.folder = etag.empty() ? fs::path() : folder_of({etag, false});
  if (etag.empty() || !fs::exists(result_.folder / file_, ignored))
    throw NetworkError(fmt::format(
        "{}: offline (HF_HUB_OFFLINE is set), and not in cache at {}: unset it, or give a file",
        shown_url(url_), folder_.string()));
  fetch_weights();
}

/// Most servers of single files have none; a GGUF file needs none.
void UrlFetch::ask_config() {
  config_ = "";
  ++pending_;
  HttpRequest request;
  request.url = beside(url_, "config.json");
  request.what = shown_url(request.url);
  request.most = kLongestConfig;
  request.depth = depth_ + 1;
  client_.send(std::move(request), [this](HttpResponse response) {
    depth_ = std::max(depth_, response.depth);
    const std::size_t first = response.body.find_first_not_of(" \t\r\n");
    const bool is_json = first != std::string::npos && response.body[first] == '{';
    if (response.status >= 500 || response.status == 429)
      refuse({"", shown_url(response.url), "", "", false}, response);
    if (response.is_good() && is_json) config_ = std::move(response.body);
    if (--pending_ == 0) proceed();
  });
}

/// Both have come.
void UrlFetch::proceed() {
  make_folders(result_.folder);
  std::error_code ignored;  // without an ETag nothing tells whether what is here is of this content
  if (remote_->tag().etag.empty()) fs::remove(result_.folder / file_, ignored);
  if (!config_->empty())
    write_file_atomically(result_.folder / "config.json", *config_, Flush::none);
  fetch_weights();
}

void UrlFetch::fetch_weights() {
  WeightFile file;
  file.path = result_.folder / file_;
  file.remote = std::move(remote_);
  file.depth = depth_;
  file.place = [path = file.path](const RemoteFile&) { return path; };
  file.publish = [](const fs::path&) {};
  file.forget = [path = file.path] {
    std::error_code ignored;
    fs::remove(path, ignored);
  };
  if (first_) file.pieces.push_back(*std::exchange(first_, std::nullopt));
  std::vector<WeightFile> files;
  RemoteFile& remote = *file.remote;
  files.push_back(std::move(file));
  weights_ = std::make_unique<WeightsFetch>(result_.folder / file_, purpose_, catalogue_);
  weights_->start(std::move(files), depth_, [this, &remote] {
    if (const std::string& etag = remote.tag().etag; !etag.empty() && etag != last_etag())
      write_file_atomically(folder_ / "current", etag, Flush::none);
  });
}

}  // namespace deadray
