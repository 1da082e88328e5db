#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "host/remote/http_client.h"
#include "host/remote/remote_file.h"

namespace deadray {

/// A lock of the hub's tools: flock(2) on a file that stays. Freed when it ends, or its process.
class DownloadLock {
 public:
  explicit DownloadLock(std::filesystem::path file) : file_(std::move(file)) {}
  DownloadLock(const DownloadLock&) = delete;
  DownloadLock& operator=(const DownloadLock&) = delete;
  ~DownloadLock();

  /// @return false while another process has it
  /// @throws ResourceError
  bool take();

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

/// What a first look tells of a file.
struct DownloadedFile {
  std::string name;  ///< in the repository
  std::string url;
  AskedFor asked;
  FileTag tag;
  std::uint64_t size = 0;
  std::size_t depth = 0;  ///< of the answer that told
};

/// One file on its way into blobs/, as the hub's tools bring it there: <blob>.incomplete grows, and
/// is renamed once it is whole. What was interrupted goes on where it ended.
class BlobDownload {
 public:
  /// @param grew  gets the number of bytes that came; negative where they were thrown away
  BlobDownload(HttpClient& client, DownloadedFile file, std::filesystem::path blob,
               std::function<void(std::int64_t)> grew);
  BlobDownload(const BlobDownload&) = delete;
  BlobDownload& operator=(const BlobDownload&) = delete;
  ~BlobDownload();

  /// @param done  called when the blob is there
  void start(std::function<void()> done);
  const DownloadedFile& file() const noexcept { return file_; }
  const std::filesystem::path& blob() const noexcept { return blob_; }

 private:
  void ask(std::size_t depth);
  void begin(const HttpResponse& response);
  void write(std::span<const char> bytes);
  void finish(const HttpResponse& response);
  void publish();
  void restart();
  [[noreturn]] void fail(const char* doing) const;

  HttpClient& client_;
  DownloadedFile file_;
  std::filesystem::path blob_, incomplete_;
  std::function<void(std::int64_t)> grew_;
  std::function<void()> done_;
  int descriptor_ = -1;
  std::uint64_t have_ = 0;
};

/// Bytes of a blob that are here, whole or not. 0 where there is none.
std::uint64_t bytes_here(const std::filesystem::path& blob);

}  // namespace deadray
