#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "host/base/atomic_file.h"
#include "host/base/input_file.h"
#include "host/base/partial_file.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// Nothing was fetched of it, whatever it says.
bool is_placeholder(const PartialFile& what) { return what.size == 0 && what.ranges.empty(); }

/// Bytes that are here already, or come now.
struct Source {
  ByteRange range;
  const Piece* piece;  // null: in the old file
};

/// All bytes once, ascending. What comes now goes before what is here.
std::vector<Source> merge(std::vector<Source> sources) {
  std::stable_sort(sources.begin(), sources.end(),
                   [](const Source& a, const Source& b) { return a.range.begin < b.range.begin; });
  std::vector<Source> merged;
  std::uint64_t done = 0;
  for (Source& source : sources) {
    source.range.begin = std::max(source.range.begin, done);
    if (source.range.begin >= source.range.end) continue;
    done = source.range.end;
    merged.push_back(source);
  }
  return merged;
}

std::vector<ByteRange> joined(const std::vector<Source>& merged) {
  std::vector<ByteRange> ranges;
  for (const auto& [range, piece] : merged) {
    if (!ranges.empty() && ranges.back().end == range.begin)
      ranges.back().end = range.end;
    else
      ranges.push_back(range);
  }
  return ranges;
}

std::string header_text(const PartialFile& what) {
  nlohmann::ordered_json ranges = nlohmann::ordered_json::array();
  for (const ByteRange& range : what.ranges) ranges.push_back({range.begin, range.end});
  const nlohmann::ordered_json header = {
      {"size", what.size}, {"etag", what.etag}, {"url", what.url}, {"ranges", std::move(ranges)}};
  const std::string json = header.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  std::string text(kPartialMagic);
  std::uint64_t length = json.size();
  for (int i = 0; i < 8; ++i, length >>= 8) text += static_cast<char>(length & 0xff);
  return text + json;
}

void write(AtomicFile& out, std::string_view bytes) { out.write(std::as_bytes(std::span(bytes))); }

void copy(const InputFile& from, ByteRange range, AtomicFile& out) {
  constexpr std::uint64_t kAtOnce = 1 << 20;
  std::string buffer;
  while (range.begin < range.end) {
    buffer.resize(std::min(kAtOnce, range.end - range.begin));
    from.read(range.begin, buffer.size(), buffer.data());
    write(out, buffer);
    range.begin += buffer.size();
  }
}

/// Held by one process at a time, where the file system knows locks; else by all.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(
            ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) continue;
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  int descriptor_;
};

/// What is there already and may be added to; nullopt where nothing is.
/// @throws MalformedError where it is not of the same content
std::optional<InputFile> open_existing(const fs::path& path, const PartialFile& what) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  InputFile file(path);
  if (!file.partial())
    throw MalformedError(
        fmt::format("{}: is a whole file, expected a partial one: remove it", path.string()));
  const PartialFile& old = file.partial()->what();
  if (is_placeholder(old)) return std::nullopt;
  if (old.size != what.size || old.etag != what.etag)
    throw MalformedError(fmt::format(
        "{}: holds {} bytes with ETag '{}', the server now has {} with '{}': remove it and run "
        "again",
        path.string(), old.size, old.etag, what.size, what.etag));
  return file;
}

void require_inside(const fs::path& path, const Piece& piece, std::uint64_t size) {
  if (size > kMostPartialSize || piece.begin > size || piece.bytes.size() > size - piece.begin)
    throw MalformedError(fmt::format("{}: {} bytes from {} on end after its {} bytes",
                                     path.string(), piece.bytes.size(), piece.begin, size));
}

}  // namespace

void write_partial_file(const fs::path& path, const PartialFile& what,
                        std::span<const Piece> pieces) {
  const FolderLock lock(path.parent_path());
  const std::optional<InputFile> old = open_existing(path, what);
  std::vector<Source> sources;
  for (const Piece& piece : pieces) {
    require_inside(path, piece, what.size);
    sources.push_back({{piece.begin, piece.begin + piece.bytes.size()}, &piece});
  }
  if (old)
    for (const ByteRange& range : old->partial()->what().ranges)
      sources.push_back({range, nullptr});
  sources = merge(std::move(sources));
  const PartialFile now{what.size, what.etag, what.url, joined(sources)};
  const std::string header = header_text(now);
  AtomicFile out(path, header.size() + total_length(now.ranges));
  write(out, header);
  for (const auto& [range, piece] : sources) {
    if (piece)
      write(out, std::string_view(piece->bytes)
                     .substr(range.begin - piece->begin, range.end - range.begin));
    else
      copy(*old, range, out);
  }
  out.commit(Flush::none);
}

}  // namespace deadray
