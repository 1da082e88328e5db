#include "host/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// A random name: containers and machines that share a folder may share process numbers too. A
/// short one: the target's own name may already be as long as names can be.
fs::path working_name(const fs::path& target) {
  std::random_device chance;
  return folder_of(target) / fmt::format(".deadray-{:08x}{:08x}.part", chance(), chance());
}

std::string advice(int error, const fs::path& target) {
  const std::string folder = folder_of(target).string();
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fmt::format("folder {} does not exist: create it first", folder);
    case EACCES:
    case EPERM:
      return fmt::format("not allowed to write into {}: choose another place", folder);
    case EROFS:
      return fmt::format("{} is on a read-only file system: choose another place", folder);
    case ENOSPC:
    case EDQUOT: {
      std::error_code unknown;
      const fs::space_info space = fs::space(folder, unknown);
      return unknown ? "no room on its disk: free some or choose another place"
                     : fmt::format(
                           "no room on its disk ({} bytes free): free some or choose another place",
                           space.available);
    }
    case EIO:
      return "the disk failed: choose another place";
    case EFBIG:
      return "larger than files may be there (`ulimit -f`, or the file system's own limit)";
    default:
      return std::strerror(error);
  }
}

int create(const fs::path& file, int flags) {
  int descriptor;
  do descriptor = ::open(file.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

/// Working files of this process, as paths that live as long as their AtomicFile. More than these
/// are never written at once; one that finds no place is only not removed by a sudden end.
std::array<std::atomic<const char*>, 16> unfinished{};

void remember(const char* path) noexcept {
  for (std::atomic<const char*>& place : unfinished) {
    const char* nothing = nullptr;
    if (place.compare_exchange_strong(nothing, path)) return;
  }
}

/// Some file systems let a signal interrupt it.
int wait_for_disk(int descriptor) {
  int result;
  do result = ::fsync(descriptor);
  while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& target, std::uint64_t expected_bytes)
    : target_(target), final_(target), expected_bytes_(expected_bytes) {
  std::error_code error;
  const fs::file_status status = fs::status(target, error);
  if (status.type() == fs::file_type::directory)
    throw ResourceError(fmt::format("{}: is a folder, expected a file to write", target.string()));
  in_place_ = fs::exists(status) && status.type() != fs::file_type::regular;
  if (!in_place_ && fs::is_symlink(target, error)) {
    final_ = fs::weakly_canonical(target, error);
    if (error) final_ = target;
  }
  working_ = in_place_ ? final_ : working_name(final_);
  descriptor_ = create(working_, in_place_ ? 0 : O_CREAT | O_EXCL);
  if (descriptor_ < 0) fail("creating it", errno);
  if (!in_place_) remember(working_.c_str());
  try {
    reserve();
  } catch (...) {  // the destructor of a half-made object does not run
    ::close(descriptor_);
    if (!in_place_) ::unlink(working_.c_str());
    forget();
    throw;
  }
}

void AtomicFile::reserve() {
  if (in_place_ || expected_bytes_ == 0) return;
  int result;
  do result = ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(expected_bytes_));
  while (result != 0 && errno == EINTR);
  if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
    fail("reserving room", errno);  // after any other error the file may still be written
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!in_place_) ::unlink(working_.c_str());
  forget();
}

void AtomicFile::forget() {
  for (std::atomic<const char*>& place : unfinished) {
    const char* mine = working_.c_str();
    if (place.compare_exchange_strong(mine, nullptr)) return;
  }
}

void remove_unfinished_files() noexcept {
  for (const std::atomic<const char*>& place : unfinished)
    if (const char* path = place.load()) ::unlink(path);
}

void AtomicFile::fail(std::string_view doing, int error) const {
  const std::uint64_t needed = std::max(expected_bytes_, written_);
  throw ResourceError(fmt::format("{}: cannot be written ({}{}): {}", target_.string(), doing,
                                  needed == 0 ? "" : fmt::format(", needs {} bytes", needed),
                                  advice(error, final_)));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  const std::uint64_t before = written_;
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      written_ += bytes.size();  // what it would have come to
      fail(fmt::format("at byte {}", before), error);
    }
    written_ += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit(Flush flush) {
  const bool to_disk = !in_place_ && flush == Flush::to_disk;
  if (to_disk && wait_for_disk(descriptor_) != 0) fail("flushing it", errno);
  if (!in_place_ && ::rename(working_.c_str(), final_.c_str()) != 0) fail("renaming it", errno);
  forget();
  const int closed = ::close(std::exchange(descriptor_, -1));
  // Otherwise fsync has said it already. After EINTR the descriptor is closed all the same.
  if (closed != 0 && errno != EINTR && in_place_) fail("closing it", errno);
  if (!to_disk) return;
  // The rename itself lasts only once the folder is on the disk; a file system that cannot do that
  // has nothing to say to the user.
  const int folder = ::open(folder_of(final_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

void write_file_atomically(const fs::path& file, std::string_view content, Flush flush) {
  AtomicFile out(file, content.size());
  out.write(std::as_bytes(std::span(content)));
  out.commit(flush);
}

void check_writable(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  const bool special =
      fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
  if (!special) AtomicFile probe(file);
  // Not opened: to open a pipe and close it again would tell its reader that all is over.
  else if (::access(file.c_str(), W_OK) != 0)
    throw ResourceError(
        fmt::format("{}: cannot be written: {}", file.string(), advice(errno, file)));
}

void require_own_file(const fs::path& output) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(output, ignored);
  if (!fs::exists(status) || fs::is_regular_file(status)) return;
  const bool is_link = fs::is_symlink(status);
  throw UsageError(fmt::format(
      "{}: is {}, expected a file of the folder itself or none: remove it, or give another folder",
      output.string(),
      is_link ? "a link to " + fs::read_symlink(output, ignored).string() : "no regular file"));
}

}  // namespace deadray
