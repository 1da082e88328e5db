#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace deadray {

/// Whether commit() waits for the disk. A cache need not: what a power failure leaves of it can be
/// fetched again, and a wait for each of many files is longer than to fetch them.
enum class Flush { to_disk, none };

/// A file that appears whole or not at all: it is written under another name in the target's
/// folder, then renamed over the target. A target that is a link stays one. A device or a pipe
/// cannot be replaced; it is written as the bytes come.
class AtomicFile {
 public:
  /// @param expected_bytes  reserved on the disk at once, where the file system can: a lack of room
  /// shows before the work
  /// @throws ResourceError missing or read-only folder, no room; names file and bytes needed
  explicit AtomicFile(const std::filesystem::path& target, std::uint64_t expected_bytes = 0);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  ///< leaves nothing behind unless commit() succeeded

  /// @throws ResourceError
  void write(std::span<const std::byte> bytes);
  /// Flushes to the disk and renames. @throws ResourceError
  void commit(Flush flush = Flush::to_disk);

  const std::filesystem::path& target() const noexcept { return target_; }

 private:
  [[noreturn]] void fail(std::string_view doing, int error) const;
  void forget();
  void reserve();

  std::filesystem::path target_;   // as given, for messages
  std::filesystem::path final_;    // links resolved
  std::filesystem::path working_;  // where the bytes go until commit()
  int descriptor_ = -1;
  bool in_place_ = false;
  std::uint64_t expected_bytes_ = 0, written_ = 0;
};

/// @throws ResourceError, and then the file is as it was before
void write_file_atomically(const std::filesystem::path& file, std::string_view content,
                           Flush flush = Flush::to_disk);

/// Removes the working file of every AtomicFile that is not committed, for the end of a program
/// whose destructors will not run. Allocates nothing and waits for no thread.
void remove_unfinished_files() noexcept;

/// To be called before long work whose result goes there.
/// @throws ResourceError when the folder is missing, or takes no new file, or `file` is a folder
void check_writable(const std::filesystem::path& file);

/// For an output that a folder names and no user: no link, pipe or device that lies there already
/// is written to.
/// @throws UsageError naming what it is
void require_own_file(const std::filesystem::path& output);

}  // namespace deadray
