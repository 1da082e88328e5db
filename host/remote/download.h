#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/base/progress.h"
#include "host/remote/blob_download.h"
#include "host/remote/repository_cache.h"
#include "host/remote/repository_fetch.h"

namespace deadray {

/// Brings a repository's configuration, tokenizer and weights into the hub's own cache, in its own
/// layout, so that the hub's tools find them there. Of several sets of weights the one that the
/// readers would take. Four files at once.
class Download {
 public:
  /// @param cache  hub_cache()
  /// @throws UsageError of a URL; NetworkError offline
  Download(HttpClient& client, ModelName name, const std::filesystem::path& cache, bool quiet);
  ~Download();

  /// The client's run() does the rest.
  void start();
  const LocalModel& result() const noexcept { return result_; }

 private:
  struct Job;
  void look_at(const std::vector<std::string>& files);
  void take_look(const std::string& name, const HttpResponse& response);
  void grow(std::int64_t bytes);
  void require_room() const;
  void start_jobs();
  void start_job(std::unique_ptr<Job> job);
  void try_to(Job& job);
  void end_job(Job& job);
  void end_of_files();
  std::vector<std::string> weights() const;
  void link(const DownloadedFile& file, const std::filesystem::path& blob);

  HttpClient& client_;
  ModelName name_;
  RepositoryCache cache_;
  std::filesystem::path locks_;
  LocalModel result_;
  RepositoryDescription description_;
  std::size_t depth_ = 0, pending_ = 0;
  bool weights_are_named_ = false;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::vector<std::unique_ptr<Job>> running_;
  Progress progress_;
  Stopwatch since_shown_;
  std::uint64_t total_ = 0;
  std::int64_t here_ = 0;
};

}  // namespace deadray
