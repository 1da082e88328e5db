#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/remote/http_client.h"
#include "host/remote/model_name.h"
#include "host/remote/repository_cache.h"
#include "host/remote/response_errors.h"
#include "host/remote/weights_fetch.h"

namespace deadray {

/// Where a fetched model is.
struct LocalModel {
  ModelName name;
  std::string commit;            ///< of a repository
  std::filesystem::path folder;  ///< that the readers open
  std::string file;              ///< of a URL: the file in `folder` to open
  bool from_network = false;     ///< asked there, if only whether it is still the same
};

/// What the hub says of a repository at a revision.
struct RepositoryDescription {
  std::string commit;
  std::set<std::string> files;
};

/// @param what  for messages
/// @throws MalformedError where the answer is something else
RepositoryDescription parse_description(const std::string& what, const std::string& body);

/// Asks what a revision is. Where the hub does not say whether the repository or the revision is
/// unknown, it is asked for the repository too.
/// @param described  gets the depth of the answer
void ask_description(
    HttpClient& client, const ModelName& name,
    std::function<void(RepositoryDescription description, std::size_t depth)> described);

std::string resolve_url(const HubSettings& settings, const ModelName& name,
                        const std::string& revision, const std::string& file);

/// Makes a folder in deadray's cache that the readers open as they do a downloaded model: small
/// files whole, of the weights what a prediction or census reads.
class RepositoryFetch {
 public:
  /// @param cache  deadray_cache()
  RepositoryFetch(HttpClient& client, ModelName name, Purpose purpose,
                  const std::filesystem::path& cache, std::filesystem::path catalogue);

  /// The client's run() does the rest.
  /// @throws NetworkError offline, and not in the cache
  void start();
  const LocalModel& result() const noexcept { return result_; }

 private:
  void take_from_cache();
  void ask_small(const std::string& file, const std::string& revision, std::size_t depth);
  void take_small(const std::string& file, const std::string& revision, HttpResponse response);
  void proceed();
  void ask_likely_weights();
  void make_snapshot();
  void add_shards(const std::string& index, const std::string& text,
                  std::set<std::string>& shards) const;
  void fetch_weights();
  std::vector<std::filesystem::path> weight_files() const;
  WeightFile weight_file(const std::filesystem::path& path);
  AskedFor asked_for(const std::string& file, const std::string& revision) const;

  HttpClient& client_;
  ModelName name_;
  RepositoryCache cache_;
  std::unique_ptr<WeightsFetch> weights_;
  Purpose purpose_;
  std::filesystem::path catalogue_;
  std::optional<RepositoryDescription> description_;
  std::map<std::string, SmallFile> small_;
  std::set<std::string> asked_;  ///< small files, at the commit or at the revision
  /// Answers whose commit was not known yet.
  std::map<std::string, HttpResponse> early_;
  std::map<std::string, WeightFile> early_weights_;  ///< of which first pieces were asked for
  std::size_t pending_ = 0, depth_ = 0;
  bool is_new_ = false;  ///< the snapshot was made now
  LocalModel result_;
};

}  // namespace deadray
