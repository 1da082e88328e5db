#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "host/remote/repository_fetch.h"

namespace deadray {

/// The same of a file of weights that any server has, and of the config.json beside it. In
/// deadray's cache it is urls/<hash of the URL>/<ETag>/<file>; urls/<hash>/current has the ETag
/// that the file had last.
class UrlFetch {
 public:
  UrlFetch(HttpClient& client, ModelName name, Purpose purpose, const std::filesystem::path& cache,
           std::filesystem::path catalogue);

  /// The client's run() does the rest.
  /// @throws NetworkError offline, and not in the cache
  void start();
  const LocalModel& result() const noexcept { return result_; }

 private:
  void take_from_cache();
  std::string last_etag() const;
  void ask_config();
  void proceed();
  void fetch_weights();
  std::filesystem::path folder_of(const FileTag& tag) const;

  HttpClient& client_;
  std::string url_, file_;
  std::filesystem::path folder_;  ///< of the URL in the cache
  std::unique_ptr<RemoteFile> remote_;
  std::unique_ptr<WeightsFetch> weights_;
  Purpose purpose_;
  std::filesystem::path catalogue_;
  std::optional<Piece> first_;
  std::optional<std::string> config_;
  std::size_t pending_ = 0, depth_ = 0;
  LocalModel result_;
};

}  // namespace deadray
