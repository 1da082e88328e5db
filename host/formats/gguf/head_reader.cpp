#include "host/formats/gguf/head_reader.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/partial_file.h"

namespace deadray {
namespace {

constexpr std::size_t kPiece = std::size_t{256} * 1024;

/// How much of a piece to read: of a partial file no more than it holds, for less may do.
std::uint64_t readable(const InputFile& file, std::uint64_t begin, std::uint64_t piece,
                       std::uint64_t least) {
  if (file.partial() == nullptr) return piece;
  for (const ByteRange& range : file.partial()->what().ranges)
    if (range.begin <= begin && begin < range.end)
      return std::max(least, std::min(piece, range.end - begin));
  return least;
}

}  // namespace

GgufHeadReader::GgufHeadReader(const InputFile& file, std::uint64_t most)
    : file_(file),
      most_(std::min(most, file.size())),
      piece_(std::make_unique_for_overwrite<char[]>(std::min<std::uint64_t>(kPiece, most_))) {}

void GgufHeadReader::fail(std::string_view problem) const {
  throw MalformedError(
      fmt::format("{}: {}: byte {}: {}", file_.path().string(), about_, position(), problem));
}

void GgufHeadReader::expect(std::uint64_t count, std::uint64_t bytes,
                            std::string_view things) const {
  if (bytes == 0 || count <= left() / bytes) return;
  // Counts are signed in some writers: -1 reads better than 2^64 - 1.
  const std::string found = fmt::format("{} {}", static_cast<std::int64_t>(count), things);
  if (count <= (file_.size() - position()) / bytes)
    fail(fmt::format("{} make the header longer than {} MB (--max-header to raise)", found,
                     static_cast<double>(most_) / 1e6));
  fail(
      fmt::format("{} do not fit into the file, which has {} bytes: truncated or damaged, fetch "
                  "it again",
                  found, file_.size()));
}

void GgufHeadReader::fill(std::size_t bytes) {
  expect(bytes, 1, "more bytes of header");
  piece_begin_ = position();
  at_ = 0;
  filled_ = static_cast<std::size_t>(
      readable(file_, piece_begin_, std::min<std::uint64_t>(kPiece, left()), bytes));
  file_.read(piece_begin_, filled_, piece_.get());
}

std::uint64_t GgufHeadReader::text_length() {
  const auto length = number<std::uint64_t>();
  expect(length, 1, "bytes of text");
  return length;
}

std::string GgufHeadReader::text() {
  std::string text(text_length(), '\0');
  const std::size_t here = std::min(text.size(), filled_ - at_);
  std::memcpy(text.data(), piece_.get() + at_, here);
  file_.read(position() + here, text.size() - here, text.data() + here);
  skip(text.size());
  return text;
}

void GgufHeadReader::skip(std::uint64_t bytes) {
  expect(bytes, 1, "bytes");
  if (bytes <= filled_ - at_) {
    at_ += bytes;
    return;
  }
  piece_begin_ = position() + bytes;
  at_ = filled_ = 0;
}

}  // namespace deadray
