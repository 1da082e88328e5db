#include "host/remote/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <random>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/output.h"
#include "host/formats/file_kind.h"
#include "host/formats/folder/folder_listing.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/shards/weight_map.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kAtOnce = 4;
constexpr std::chrono::milliseconds kPauseForLock{100};

bool is_beside_weights(const std::string& file) {
  return file.find('/') == file.npos && !format_of_name(file) &&
         (file.ends_with(".json") || file.ends_with(".txt") || file == "tokenizer.model");
}

std::optional<std::uint64_t> announced_size(const HttpResponse& response) {
  std::string text = header(response.first_headers, "x-linked-size");
  if (text.empty()) text = header(response.headers, "content-length");
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  const bool is_number = !text.empty() && error == std::errc() && end == text.data() + text.size();
  return is_number ? std::optional(size) : std::nullopt;
}

/// A folder of empty files, in which the readers choose as they will among the files themselves.
class NamesAlone {
 public:
  NamesAlone() {
    std::random_device chance;
    folder_ = fs::temp_directory_path() / fmt::format("deadray-{:08x}{:08x}", chance(), chance());
    make_folders(folder_);
  }
  NamesAlone(const NamesAlone&) = delete;
  NamesAlone& operator=(const NamesAlone&) = delete;
  ~NamesAlone() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  void add(const std::string& name) const {
    if (!std::ofstream(folder_ / name))
      throw ResourceError(fmt::format("{}: cannot be written", (folder_ / name).string()));
  }
  const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

}  // namespace

struct Download::Job {
  Job(HttpClient& client, DownloadedFile file, const fs::path& stored, fs::path lock_file,
      std::function<void(std::int64_t)> grew)
      : lock(std::move(lock_file)), blob(client, std::move(file), stored, std::move(grew)) {}
  DownloadLock lock;
  BlobDownload blob;
  bool has_said_so = false;  // that it waits
};

Download::Download(HttpClient& client, ModelName name, const fs::path& cache, bool quiet)
    : client_(client),
      name_(std::move(name)),
      cache_(cache, name_.repository),
      locks_(cache / ".locks" / cache_.folder().filename()),
      progress_(name_.repository, quiet) {
  if (name_.repository.empty())
    throw UsageError(fmt::format("{}: a URL is not downloaded: fetch the file and give its path",
                                 shown_url(name_.url)));
  if (client_.settings().offline)
    throw NetworkError(
        fmt::format("{}: offline (HF_HUB_OFFLINE is set): unset it to download", name_.repository));
  result_.name = name_;
  result_.from_network = true;
}

Download::~Download() = default;

void Download::start() {
  ask_description(client_, name_, [this](RepositoryDescription description, std::size_t depth) {
    description_ = std::move(description);
    depth_ = depth;
    result_.commit = description_.commit;
    result_.folder = cache_.snapshot(result_.commit);
    make_folders(cache_.folder() / "blobs");
    make_folders(result_.folder);
    make_folders(locks_);
    std::vector<std::string> files;
    for (const std::string& file : description_.files)
      if (is_beside_weights(file)) files.push_back(file);
    look_at(files);
  });
}

/// Of each that is not here its size and ETag.
void Download::look_at(const std::vector<std::string>& files) {
  std::error_code ignored;
  for (const std::string& file : files) {
    if (fs::is_regular_file(result_.folder / file, ignored)) continue;
    ++pending_;
    HttpRequest request;
    request.url = resolve_url(client_.settings(), name_, result_.commit, file);
    request.what = fmt::format("{}: {}", name_.repository, file);
    request.only_head = true;
    request.depth = depth_ + 1;
    client_.send(std::move(request),
                 [this, file](const HttpResponse& response) { take_look(file, response); });
  }
  if (pending_ == 0) start_jobs();
}

void Download::take_look(const std::string& name, const HttpResponse& response) {
  DownloadedFile file;
  file.name = name;
  file.url = resolve_url(client_.settings(), name_, result_.commit, name);
  file.asked = {shown_endpoint(client_.settings()), name_.repository, result_.commit, name,
                !client_.settings().token.empty()};
  const bool is_elsewhere = response.status >= 300 && response.status < 400;
  if (!response.is_good() && !is_elsewhere) refuse(file.asked, response);
  const auto size = announced_size(response);
  if (!size || (is_elsewhere && header(response.first_headers, "x-linked-size").empty()))
    throw NetworkError(fmt::format("{}: {}: {} does not say how many bytes it has",
                                   name_.repository, name, origin_of(response.url)));
  file.size = *size;
  file.tag = file_tag(response.first_headers);
  file.depth = response.depth;
  depth_ = std::max(depth_, response.depth);
  const std::string blob = blob_name(file.tag, result_.commit, name);
  const fs::path stored = cache_.blob(blob);
  total_ += file.size;
  here_ += static_cast<std::int64_t>(std::min(bytes_here(stored), file.size));
  waiting_.push_back(std::make_unique<Job>(client_, std::move(file), stored,
                                           locks_ / (blob + ".lock"),
                                           [this](std::int64_t bytes) { grow(bytes); }));
  if (--pending_ > 0) return;
  require_room();
  start_jobs();
}

void Download::grow(std::int64_t bytes) {
  constexpr double kPause = 0.1;  // seconds between two lines
  here_ += bytes;
  if (since_shown_.seconds() < kPause) return;
  since_shown_.lap();
  progress_.show(here_, static_cast<std::int64_t>(total_));
}

void Download::require_room() const {
  std::error_code unknown;
  const fs::space_info space = fs::space(cache_.folder(), unknown);
  const std::uint64_t here = here_ > 0 ? static_cast<std::uint64_t>(here_) : 0;
  const std::uint64_t needed = total_ - std::min(total_, here);
  if (!unknown && needed > space.available)
    throw ResourceError(fmt::format(
        "{}: needs {} bytes more in {}, {} are free: free some, or name another folder by "
        "HF_HUB_CACHE",
        name_.repository, needed, cache_.folder().string(), space.available));
}

void Download::start_jobs() {
  while (!waiting_.empty() && running_.size() < kAtOnce) {
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    start_job(std::move(job));
  }
  if (waiting_.empty() && running_.empty()) end_of_files();
}

void Download::start_job(std::unique_ptr<Job> job) {
  running_.push_back(std::move(job));
  client_.call_later(std::chrono::milliseconds(0),
                     [this, &one = *running_.back()] { try_to(one); });
}

/// Waits for another process that brings the same file.
void Download::try_to(Job& job) {
  if (job.lock.take()) return job.blob.start([this, &job] { end_job(job); });
  if (!std::exchange(job.has_said_so, true))
    write_message(fmt::format("deadray-hub: {}: waiting for another process that downloads it",
                              job.blob.file().name));
  client_.call_later(kPauseForLock, [this, &job] { try_to(job); });
}

void Download::end_job(Job& job) {
  link(job.blob.file(), job.blob.blob());
  // Not at once: the job's own code still runs.
  client_.call_later(std::chrono::milliseconds(0), [this, &job] {
    std::erase_if(running_, [&](const auto& one) { return one.get() == &job; });
    start_jobs();
  });
}

void Download::link(const DownloadedFile& file, const fs::path& blob) {
  make_folders((result_.folder / file.name).parent_path());
  cache_.link(result_.commit, file.name, blob.filename().string());
}

/// The index says which weights, and comes with the small files.
void Download::end_of_files() {
  if (!std::exchange(weights_are_named_, true)) return look_at(weights());
  progress_.clear();
  cache_.remember(name_.revision, result_.commit);
}

std::vector<std::string> Download::weights() const {
  const NamesAlone names;
  for (const std::string& file : description_.files)
    if (file.find('/') == file.npos) names.add(file);
  WeightFiles chosen;
  try {
    chosen = find_weights(names.folder(), /*strict=*/false);
  } catch (const Error& error) {  // in words of the repository, not of an empty folder's
    std::string text = error.what();
    for (std::size_t at; (at = text.find(names.folder().string())) != text.npos;)
      text.replace(at, names.folder().string().size(), name_.repository);
    throw Error(error.code(), text);
  }
  std::vector<std::string> files;
  for (const fs::path& shard : chosen.shards) files.push_back(shard.filename().string());
  if (!chosen.is_index && files.empty()) files.push_back(chosen.file.filename().string());
  if (!chosen.is_index) return files;
  const fs::path index = result_.folder / chosen.file.filename();
  for (const auto& [shard, number] : read_weight_map(read_text_file(index), index).shards) {
    if (!description_.files.contains(shard))
      throw NetworkError(fmt::format(
          "{}: {} names the shard {}, which the repository lacks at commit {}: choose another "
          "revision, or ask who uploaded it",
          name_.repository, index.filename().string(), in_quotes(shard), result_.commit));
    files.push_back(shard);
  }
  return files;
}

}  // namespace deadray
