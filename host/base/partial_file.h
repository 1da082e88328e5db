#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/error.h"

// Files of which some bytes alone are here: a checkpoint's header and norms, fetched from far away.
// InputFile reads one as if the whole file lay there, and refuses what was not fetched.
//
//   bytes 0..15   "deadray partial\n"
//   bytes 16..23  length of what follows, little-endian
//   JSON          {"size": n, "etag": "...", "url": "...", "ranges": [[begin, end], ...]}
//   the bytes of the ranges, one after another
//
// Ranges ascend and neither meet nor overlap. Size 0 without ranges: known by name, size unknown.
namespace deadray {

/// Bytes begin, begin + 1, ..., end - 1 of a file.
struct ByteRange {
  std::uint64_t begin = 0, end = 0;
  bool operator==(const ByteRange&) const = default;
};

inline constexpr std::string_view kPartialMagic = "deadray partial\n";
/// What file systems can hold.
inline constexpr std::uint64_t kMostPartialSize = std::numeric_limits<std::int64_t>::max();

/// What a partial file says of itself.
struct PartialFile {
  std::uint64_t size = 0;  ///< of the whole file, wherever it is
  std::string etag, url;   ///< which content of it, and where it is
  std::vector<ByteRange> ranges;
};

std::uint64_t total_length(const std::vector<ByteRange>& ranges);

/// Where the ranges lie in the partial file.
class PartialLayout {
 public:
  /// @param content_begin  where the bytes of the first range are
  PartialLayout(PartialFile what, std::uint64_t content_begin);

  const PartialFile& what() const noexcept { return what_; }
  /// Where the byte `wanted.begin` of the whole file is stored, the others after it.
  /// @return nullopt where not all of them are here
  std::optional<std::uint64_t> find(ByteRange wanted) const;

 private:
  PartialFile what_;
  std::vector<std::uint64_t> begins_;  // of each range, as stored
};

/// @param descriptor   open for reading
/// @param stored_size  bytes of the partial file itself
/// @param path         for messages
/// @return nullopt where it does not begin as a partial file
/// @throws MalformedError where it does, and the rest contradicts itself
std::optional<PartialLayout> read_partial_header(int descriptor, std::uint64_t stored_size,
                                                 const std::filesystem::path& path);

/// Bytes of the whole file from `begin` on.
struct Piece {
  std::uint64_t begin = 0;
  std::string bytes;
};

/// Adds pieces to what `path` holds, or makes it: the file is written anew and appears at once.
/// Several processes that add to files of one folder take turns.
/// @param what  its ranges do not count
/// @throws MalformedError where size or ETag differ from what is there, unless nothing of that was
/// fetched yet; where a whole file is there; where a piece ends after `what.size`
/// @throws ResourceError  as AtomicFile does
void write_partial_file(const std::filesystem::path& path, const PartialFile& what,
                        std::span<const Piece> pieces);

/// Thrown by InputFile::read() for bytes of a partial file that are not here.
struct MissingBytes : MalformedError {
  MissingBytes(const std::filesystem::path& of, ByteRange bytes, std::string_view url);
  std::filesystem::path file;
  ByteRange wanted;
};

}  // namespace deadray
