#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/remote/remote_file.h"

namespace deadray {

/// A text that was fetched whole, with what its cache calls its content.
struct SmallFile {
  std::string text;
  std::string blob;
};

/// What deadray keeps of one repository, laid out as the hub's own cache:
///   models--org--name/{blobs/<etag>, snapshots/<commit>/<file>, refs/<revision>}
/// A snapshot's files are links into blobs/, those of which nothing was fetched to an empty partial
/// file.
class RepositoryCache {
 public:
  /// @param cache  deadray_cache(), or the hub's own
  RepositoryCache(const std::filesystem::path& cache, const std::string& repository);

  const std::filesystem::path& folder() const noexcept { return folder_; }
  std::filesystem::path snapshot(const std::string& commit) const;
  std::filesystem::path blob(const std::string& name) const { return folder_ / "blobs" / name; }
  bool has_snapshot(const std::string& commit) const;

  /// The commit that a revision had when it was last fetched.
  std::optional<std::string> commit_of(const std::string& revision) const;
  /// @throws ResourceError
  void remember(const std::string& revision, const std::string& commit) const;

  /// Makes the snapshot, at once.
  /// @param placeholders  names of files of weights
  /// @throws ResourceError
  void make_snapshot(const std::string& commit, const std::map<std::string, SmallFile>& small,
                     const std::vector<std::string>& placeholders) const;
  void remove_snapshot(const std::string& commit) const;
  /// Lets a snapshot's file be a link to a blob, whatever it was before.
  /// @throws ResourceError
  void link(const std::string& commit, const std::string& file, const std::string& blob) const;
  /// Removes what was fetched of a file. @throws ResourceError
  void forget(const std::string& commit, const std::string& file) const;

 private:
  std::filesystem::path folder_;
};

/// What a blob is called: by its ETag alone where that is a hash of the content. Other ETags, of a
/// time and a size say, two files can share: then by the file and its commit too.
std::string blob_name(const FileTag& tag, std::string_view commit, std::string_view file);

/// 32 hexadecimal digits of a text. Not for what an adversary chooses.
std::string short_hash(std::string_view text);

/// @throws ResourceError
void make_folders(const std::filesystem::path& folder);

/// The target of a link in a snapshot's folder, for a file of this name, to a blob.
std::filesystem::path link_target(const std::string& file, const std::string& blob);

}  // namespace deadray
