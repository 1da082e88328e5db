#include "host/base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"

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

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // Without O_NONBLOCK a pipe would make us wait for a writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw_open_error(path, errno);
  struct stat status = {};
  const int error = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
  if (error != 0 || !S_ISREG(status.st_mode)) {
    ::close(std::exchange(descriptor_, -1));
    if (error != 0) throw_open_error(path, error);
    throw MalformedError(fmt::format("{}: is a {}, expected a regular file", path.string(),
                                     kind_of(status.st_mode)));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(std::uint64_t offset, std::size_t count, void* destination) const {
  char* to = static_cast<char*>(destination);
  for (std::size_t done = 0; done < count;) {
    const ssize_t got =
        ::pread(descriptor_, to + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw ResourceError(fmt::format("{}: reading byte {}: {}", path_.string(), offset + done,
                                      std::strerror(errno)));
    if (got == 0)
      throw MalformedError(
          fmt::format("{}: ends at byte {}, bytes {} to {} were wanted: it had {} when it was "
                      "opened (truncated meanwhile?)",
                      path_.string(), offset + done, offset, offset + count, size_));
    done += static_cast<std::size_t>(got);
  }
}

void InputFile::will_need(std::uint64_t offset, std::uint64_t count) const noexcept {
  ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(count),
                  POSIX_FADV_WILLNEED);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t most) {
  const InputFile file(path);
  if (file.size() > most)
    throw MalformedError(
        fmt::format("{}: {} bytes, expected at most {} of text", path.string(), file.size(), most));
  std::string text(file.size(), '\0');
  file.read(0, text.size(), text.data());
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
