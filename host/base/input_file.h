#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace deadray {

class PartialLayout;

/// What tells one file, and one content of it, from another.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified = 0;  ///< nanoseconds; the last change of its bytes
  std::int64_t touched = 0;   ///< nanoseconds; the last change of its bytes, names or permissions
};

/// A regular file, open for reading at any offset. Never mapped: a file truncated under us is an
/// error, not a SIGBUS. Whoever has read from it asks afterwards whether it is still what was
/// opened. A partial file (partial_file.h) is read as the whole file of which it holds a part.
class InputFile {
 public:
  /// @throws UsageError     no such file
  /// @throws MalformedError a folder, a pipe or a device (never waits for one); a damaged partial
  /// file
  /// @throws ResourceError  not allowed to read it, or too many open files
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }  ///< when it was opened
  /// What is here of it; null where it is a whole file.
  const PartialLayout* partial() const noexcept { return partial_.get(); }

  /// Reads `count` bytes at `offset`. Thread-safe.
  /// @throws MalformedError with the byte numbers when the file ends before
  /// @throws MissingBytes   they are not in this partial file
  /// @throws ResourceError  the disk failed
  void read(std::uint64_t offset, std::size_t count, void* destination) const;
  /// Takes as long as reading a few hundred bytes.
  /// @throws MalformedError where it was rewritten since it was opened, or lost its name
  void require_same_content() const;
  /// Takes three times as long. @throws MalformedError too where its path names another file
  void require_unchanged() const;
  /// @param earlier  what identify() said of the path before it was opened
  /// @throws MalformedError where another file, or another content, was opened
  void require_identity(const FileIdentity& earlier) const;
  /// Lets the system read these bytes ahead, into its own cache. A hint that cannot fail.
  void will_need(std::uint64_t offset, std::uint64_t count) const noexcept;

 private:
  void read_stored(std::uint64_t offset, std::size_t count, void* destination) const;
  std::uint64_t stored_offset(std::uint64_t offset, std::size_t count) const;
  void require_same_path() const;
  bool is_same_partial_content() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  FileIdentity opened_{};
  std::uint64_t size_ = 0;
  std::shared_ptr<const PartialLayout> partial_;
};

/// What a path names now. @throws as opening it does
FileIdentity identify(const std::filesystem::path& path);

/// The whole file. @throws MalformedError beyond `most` bytes, and as InputFile does
std::string read_text_file(const std::filesystem::path& path, std::uint64_t most = 100'000'000);

/// @throws MalformedError where `path` is a link to something that is not there, naming both: a
/// snapshot that was copied without its blobs
void refuse_dangling_link(const std::filesystem::path& path);

}  // namespace deadray
