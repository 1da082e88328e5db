#include "host/base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/partial_file.h"

namespace deadray {
namespace {

[[noreturn]] void throw_open_error(const std::filesystem::path& path, int error) {
  const std::string name = path.string();
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw UsageError(fmt::format("{}: no such file", name));
    case EACCES:
    case EPERM:
      throw ResourceError(fmt::format(
          "{}: not allowed to read it: check its permissions and those of its folders", name));
    case EMFILE:
    case ENFILE:
      throw ResourceError(
          fmt::format("{}: cannot open it: too many open files (raise `ulimit -n`)", name));
    case ENXIO:
      throw MalformedError(
          fmt::format("{}: is a socket or a device, expected a regular file", name));
    default:
      throw ResourceError(fmt::format("{}: cannot open it: {}", name, std::strerror(error)));
  }
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "folder";
  if (S_ISFIFO(mode)) return "pipe";
  return "device";
}

int open_to_read(const std::filesystem::path& path) {
  int descriptor;
  // Without O_NONBLOCK a pipe would make us wait for a writer.
  do descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

FileIdentity identity_in(const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

bool is_same_content(const FileIdentity& a, const FileIdentity& b) {
  return a.size == b.size && a.modified == b.modified;
}

[[noreturn]] void throw_changed(const std::filesystem::path& path, std::string_view what) {
  throw MalformedError(fmt::format(
      "{}: {} since it was opened: run again on files that stay as they are", path.string(), what));
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  descriptor_ = open_to_read(path);
  if (descriptor_ < 0) throw_open_error(path, errno);
  struct stat status = {};
  const int error = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
  if (error != 0 || !S_ISREG(status.st_mode)) {
    ::close(std::exchange(descriptor_, -1));
    if (error != 0) throw_open_error(path, error);
    throw MalformedError(fmt::format("{}: is a {}, expected a regular file", path.string(),
                                     kind_of(status.st_mode)));
  }
  opened_ = identity_in(status);
  try {
    if (auto layout = read_partial_header(descriptor_, opened_.size, path))
      partial_ = std::make_shared<const PartialLayout>(*std::move(layout));
  } catch (...) {  // the destructor of a half-made object does not run
    ::close(descriptor_);
    throw;
  }
  size_ = partial_ ? partial_->what().size : opened_.size;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      opened_(other.opened_),
      size_(other.size_),
      partial_(std::move(other.partial_)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(opened_, other.opened_);
  std::swap(size_, other.size_);
  std::swap(partial_, other.partial_);
  return *this;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(std::uint64_t offset, std::size_t count, void* destination) const {
  if (partial_)
    read_stored(stored_offset(offset, count), count, destination);
  else
    read_stored(offset, count, destination);
}

/// Where the bytes of the whole file lie in this part of it.
std::uint64_t InputFile::stored_offset(std::uint64_t offset, std::size_t count) const {
  const bool size_known = size_ > 0 || !partial_->what().ranges.empty();
  if (size_known && (offset > size_ || count > size_ - offset))
    throw MalformedError(fmt::format("{}: ends at byte {}, {} bytes from {} on were wanted",
                                     path_.string(), size_, count, offset));
  if (count == 0) return 0;
  const ByteRange wanted{offset, offset + count};
  const auto stored = partial_->find(wanted);
  if (!stored) throw MissingBytes(path_, wanted, partial_->what().url);
  return *stored;
}

void InputFile::read_stored(std::uint64_t offset, std::size_t count, void* destination) const {
  char* to = static_cast<char*>(destination);
  for (std::size_t done = 0; done < count;) {
    const ssize_t got =
        ::pread(descriptor_, to + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw ResourceError(
          fmt::format("{}: reading byte {}: {}: the disk or its network failed; try again, or copy "
                      "the file to another place",
                      path_.string(), offset + done, std::strerror(errno)));
    if (got == 0) {
      require_unchanged();
      throw MalformedError(fmt::format("{}: ends at byte {}, bytes {} to {} were wanted",
                                       path_.string(), offset + done, offset, offset + count));
    }
    done += static_cast<std::size_t>(got);
  }
}

void InputFile::require_unchanged() const {
  require_same_content();
  require_same_path();
}

void InputFile::require_identity(const FileIdentity& earlier) const {
  if (is_same_content(earlier, opened_)) return;
  throw MalformedError(fmt::format(
      "{}: was replaced or rewritten while its checkpoint was being opened: run again on "
      "files that stay as they are",
      path_.string()));
}

/// A file that was not even touched has lost no name either.
void InputFile::require_same_content() const {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) throw_open_error(path_, errno);
  const FileIdentity now = identity_in(status);
  if (now.touched == opened_.touched && is_same_content(now, opened_)) return;
  if (now.size != opened_.size)
    throw_changed(path_,
                  fmt::format("{} from {} to {} bytes", now.size > opened_.size ? "grew" : "shrank",
                              opened_.size, now.size));
  if (now.modified != opened_.modified) throw_changed(path_, "was rewritten");
  require_same_path();
}

/// The open file stays readable when its path names another one. But a result would be taken for
/// one of the new file.
void InputFile::require_same_path() const {
  struct stat status = {};
  if (::stat(path_.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) throw_changed(path_, "was removed");
    throw_open_error(path_, errno);
  }
  const FileIdentity there = identity_in(status);
  const bool same_file = there.device == opened_.device && there.inode == opened_.inode;
  // Some network file systems give an old file a new inode.
  if (!same_file && !is_same_content(there, opened_) && !is_same_partial_content())
    throw_changed(path_, "was replaced by another file");
}

/// A partial file is replaced when more of it is fetched.
bool InputFile::is_same_partial_content() const {
  if (!partial_) return false;
  const InputFile now(path_);
  return now.partial_ && now.size_ == size_ && now.partial_->what().etag == partial_->what().etag;
}

void InputFile::will_need(std::uint64_t offset, std::uint64_t count) const noexcept {
  if (partial_) return;
  ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(count),
                  POSIX_FADV_WILLNEED);
}

FileIdentity identify(const std::filesystem::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) throw_open_error(path, errno);
  return identity_in(status);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t most) {
  const InputFile file(path);
  if (file.size() > most)
    throw MalformedError(
        fmt::format("{}: {} bytes, expected at most {} of text", path.string(), file.size(), most));
  std::string text(file.size(), '\0');
  file.read(0, text.size(), text.data());
  file.require_same_content();
  return text;
}

void refuse_dangling_link(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error) || std::filesystem::exists(path, error)) return;
  throw MalformedError(fmt::format(
      "{}: is a link to {}, which is not there: copy the folder with its links followed (cp -rL), "
      "or fetch it again",
      path.string(), std::filesystem::read_symlink(path, error).string()));
}

}  // namespace deadray
