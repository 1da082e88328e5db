#include "host/base/partial_file.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include <fmt/format.h>

#include "host/base/json_text.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = kPartialMagic;
constexpr std::uint64_t kFixed = 24;            // magic and length
constexpr std::uint64_t kMostHeader = 1 << 22;  // bytes of JSON: a hundred thousand ranges
static_assert(std::endian::native == std::endian::little);

[[noreturn]] void throw_damaged(const fs::path& path, std::string_view what) {
  throw MalformedError(fmt::format("{}: partial file: {}: damaged, remove it and fetch it again",
                                   path.string(), what));
}

/// @return whether that many bytes are there
bool read_fully(int descriptor, std::uint64_t offset, std::size_t count, char* to,
                const fs::path& path) {
  for (std::size_t done = 0; done < count;) {
    const ssize_t got =
        ::pread(descriptor, to + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw ResourceError(fmt::format("{}: reading byte {}: {}", path.string(), offset + done,
                                      std::strerror(errno)));
    if (got == 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

std::uint64_t natural_in(const nlohmann::json& value, std::string_view name, const fs::path& path) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMostPartialSize)
    throw_damaged(path,
                  fmt::format("{} is {}, expected a number of bytes", name, show_json(value)));
  return value.get<std::uint64_t>();
}

const nlohmann::json& member(const nlohmann::json& header, const char* key, const fs::path& path) {
  const auto found = header.find(key);
  if (found == header.end()) throw_damaged(path, fmt::format("its header has no '{}'", key));
  return *found;
}

std::string text_in(const nlohmann::json& header, const char* key, const fs::path& path) {
  const nlohmann::json& value = member(header, key, path);
  if (!value.is_string())
    throw_damaged(path, fmt::format("{} is {}, expected a string", key, show_json(value)));
  return value.get<std::string>();
}

std::vector<ByteRange> ranges_in(const nlohmann::json& list, std::uint64_t size,
                                 const fs::path& path) {
  if (!list.is_array())
    throw_damaged(path, fmt::format("ranges is {}, expected a list", show_json(list)));
  std::vector<ByteRange> ranges;
  for (const nlohmann::json& pair : list) {
    if (!pair.is_array() || pair.size() != 2)
      throw_damaged(path, fmt::format("a range is {}, expected two numbers", show_json(pair)));
    const ByteRange range{natural_in(pair[0], "a range's begin", path),
                          natural_in(pair[1], "a range's end", path)};
    if (range.begin >= range.end || range.end > size ||
        (!ranges.empty() && range.begin <= ranges.back().end))
      throw_damaged(path, fmt::format("range {} to {} of {} bytes is empty, outside, or not after "
                                      "the one before it",
                                      range.begin, range.end, size));
    ranges.push_back(range);
  }
  return ranges;
}

PartialFile parse_header(const std::string& text, const fs::path& path) {
  nlohmann::json header;
  try {
    header = parse_json_object(text, path);
  } catch (const MalformedError&) {
    throw_damaged(path, "its header is no JSON object");
  }
  PartialFile what;
  what.size = natural_in(member(header, "size", path), "size", path);
  what.etag = text_in(header, "etag", path);
  what.url = text_in(header, "url", path);
  what.ranges = ranges_in(member(header, "ranges", path), what.size, path);
  return what;
}

}  // namespace

/// Ranges lie apart and below 2^63: the sum does not overflow.
std::uint64_t total_length(const std::vector<ByteRange>& ranges) {
  std::uint64_t total = 0;
  for (const ByteRange& range : ranges) total += range.end - range.begin;
  return total;
}

PartialLayout::PartialLayout(PartialFile what, std::uint64_t content_begin)
    : what_(std::move(what)) {
  for (const ByteRange& range : what_.ranges) {
    begins_.push_back(content_begin);
    content_begin += range.end - range.begin;
  }
}

std::optional<std::uint64_t> PartialLayout::find(ByteRange wanted) const {
  const auto& ranges = what_.ranges;
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), wanted.begin,
      [](std::uint64_t begin, const ByteRange& range) { return begin < range.begin; });
  if (after == ranges.begin() || (after - 1)->end < wanted.end) return std::nullopt;
  const auto i = static_cast<std::size_t>(after - ranges.begin()) - 1;
  return begins_[i] + (wanted.begin - ranges[i].begin);
}

std::optional<PartialLayout> read_partial_header(int descriptor, std::uint64_t stored_size,
                                                 const fs::path& path) {
  char fixed[kFixed] = {};
  if (stored_size < kMagic.size()) return std::nullopt;
  const std::size_t n_fixed = std::min(stored_size, kFixed);
  const bool read_all = read_fully(descriptor, 0, n_fixed, fixed, path);
  if (std::string_view(fixed, kMagic.size()) != kMagic) return std::nullopt;
  if (!read_all || n_fixed < kFixed) throw_damaged(path, "ends within its first 24 bytes");
  std::uint64_t length = 0;
  std::memcpy(&length, fixed + kMagic.size(), sizeof length);
  if (length > stored_size - kFixed || length > kMostHeader)
    throw_damaged(path, fmt::format("its header says {} bytes, of {} in the file and at most {}",
                                    length, stored_size - kFixed, kMostHeader));
  std::string text(length, '\0');
  if (!read_fully(descriptor, kFixed, text.size(), text.data(), path))
    throw_damaged(path, "ends within its header");
  PartialFile what = parse_header(text, path);
  const std::uint64_t content = stored_size - kFixed - length;
  if (const std::uint64_t expected = total_length(what.ranges); content != expected)
    throw_damaged(path, fmt::format("{} bytes after its header, expected {}", content, expected));
  return PartialLayout(std::move(what), kFixed + length);
}

MissingBytes::MissingBytes(const fs::path& of, ByteRange bytes, std::string_view url)
    : MalformedError(fmt::format("{}: bytes {} to {} of {} were not fetched, only what a "
                                 "prediction needs: download the model (--download), or remove "
                                 "this file and run again",
                                 of.string(), bytes.begin, bytes.end, url)),
      file(of),
      wanted(bytes) {}

}  // namespace deadray
