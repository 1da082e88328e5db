#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace deadray {

/// A regular file, open for reading at any offset. Never mapped: a file truncated under us is an
/// error, not a SIGBUS.
class InputFile {
 public:
  /// @throws UsageError     no such file
  /// @throws MalformedError a folder, a pipe or a device (never waits for one)
  /// @throws ResourceError  not allowed to read it, or too many open files
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }  ///< when it was opened

  /// Reads `count` bytes at `offset`. Thread-safe.
  /// @throws MalformedError with the byte numbers when the file ends before: it shrank meanwhile
  void read(std::uint64_t offset, std::size_t count, void* destination) const;
  /// Lets the system read these bytes ahead, into its own cache. A hint that cannot fail.
  void will_need(std::uint64_t offset, std::uint64_t count) const noexcept;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole file. @throws MalformedError beyond `most` bytes, and as InputFile does
std::string read_text_file(const std::filesystem::path& path, std::uint64_t most = 100'000'000);

/// @throws MalformedError where `path` is a link to something that is not there, naming both: a
/// snapshot that was copied without its blobs
void refuse_dangling_link(const std::filesystem::path& path);

}  // namespace deadray
