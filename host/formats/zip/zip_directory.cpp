#include "host/formats/zip/zip_directory.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/damaged.h"
#include "host/formats/elements/number_at.h"
#include "host/formats/zip/crc32.h"

namespace deadray {
namespace {

constexpr std::uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kEntryBytes = 46,
                        kLocalBytes = 30, kLongestComment = 0xffff;
constexpr std::string_view kEnd = "PK\x05\x06", kEnd64 = "PK\x06\x06", kLocator = "PK\x06\x07",
                           kEntry = "PK\x01\x02", kLocal = "PK\x03\x04";
constexpr std::uint16_t kEncrypted = 1, kSizesFollow = 8;
constexpr std::uint32_t kSeeZip64 = 0xffffffff;

/// Reads the 64-bit numbers of an extra field of kind 1, which stand for those that are saturated.
class Zip64Extra {
 public:
  explicit Zip64Extra(std::string_view extra) {
    while (extra.size() >= 4) {
      const std::size_t length = number_at<std::uint16_t>(extra, 2);
      if (length > extra.size() - 4) return;
      if (number_at<std::uint16_t>(extra, 0) == 1) {
        numbers_ = extra.substr(4, length);
        return;
      }
      extra.remove_prefix(4 + length);
    }
  }
  /// @return nothing where a number is missing
  std::optional<std::uint64_t> widen(std::uint32_t value) {
    if (value != kSeeZip64) return value;
    if (numbers_.size() < 8) return std::nullopt;
    const auto wide = number_at<std::uint64_t>(numbers_, 0);
    numbers_.remove_prefix(8);
    return wide;
  }

 private:
  std::string_view numbers_;
};

}  // namespace

/// What an end record says of the directory.
struct ZipDirectory::End {
  std::uint64_t entries = 0, bytes = 0, begin = 0;
  std::uint64_t record = 0;  ///< where the record itself begins: there the directory ends
};

ZipDirectory::ZipDirectory(const InputFile& file, std::uint64_t most) : file_(file) {
  const End end = find_end();
  if (end.bytes > end.record || end.begin != end.record - end.bytes)
    fail(fmt::format("its directory should take bytes {} to {}, but its end record is at byte {}",
                     end.begin, fmt::format("{} + {}", end.begin, end.bytes), end.record));
  read_members(end, most);
  check_places(end.begin);
  sort_by_name();
}

void ZipDirectory::fail(std::string_view problem) const {
  throw MalformedError(
      fmt::format("{}: zip archive: {}: {}", file_.path().string(), problem, kDamaged));
}

void ZipDirectory::hold_to_limit(std::string_view what, std::uint64_t bytes,
                                 std::uint64_t most) const {
  if (bytes > most)
    throw MalformedError(
        fmt::format("{}: zip archive: {} takes {} bytes (limit {} MB; --max-header to raise)",
                    file_.path().string(), what, bytes, static_cast<double>(most) / 1e6));
}

std::string ZipDirectory::read_bytes(std::uint64_t offset, std::uint64_t count) {
  std::string bytes(count, '\0');
  file_.read(offset, count, bytes.data());
  bytes_read_ += count;
  return bytes;
}

ZipDirectory::End ZipDirectory::find_end() {
  // Nearly all archives have no comment: then the record is the file's last bytes.
  for (const std::uint64_t comment : {std::uint64_t{0}, kLongestComment}) {
    const std::uint64_t length = std::min(file_.size(), kEndBytes + comment);
    const std::string tail = read_bytes(file_.size() - length, length);
    for (std::size_t at = tail.size(); at-- > 0;) {
      const std::string_view record = std::string_view(tail).substr(at);
      if (record.size() < kEndBytes || !record.starts_with(kEnd) ||
          number_at<std::uint16_t>(record, 20) != record.size() - kEndBytes)
        continue;
      if (number_at<std::uint16_t>(record, 4) != number_at<std::uint16_t>(record, 6))
        throw UnsupportedError(
            fmt::format("{}: is one volume of a zip archive in several: join them first",
                        file_.path().string()));
      const std::uint64_t place = file_.size() - length + at;
      const End classic{number_at<std::uint16_t>(record, 10), number_at<std::uint32_t>(record, 12),
                        number_at<std::uint32_t>(record, 16), place};
      return read_zip64_end(place, classic);
    }
  }
  fail(fmt::format("no end record in its {} bytes", file_.size()));
}

/// A zip64 record stands before the classic one, whose saturated numbers it replaces.
ZipDirectory::End ZipDirectory::read_zip64_end(std::uint64_t end_record, const End& classic) {
  const bool saturated =
      classic.entries == 0xffff || classic.bytes == kSeeZip64 || classic.begin == kSeeZip64;
  const std::string locator = end_record >= kLocatorBytes
                                  ? read_bytes(end_record - kLocatorBytes, kLocatorBytes)
                                  : std::string();
  if (!locator.starts_with(kLocator)) {
    if (saturated && classic.begin == kSeeZip64) fail("its zip64 end record is missing");
    return classic;
  }
  const auto place = number_at<std::uint64_t>(locator, 8);
  if (place > end_record - kLocatorBytes || end_record - kLocatorBytes - place < kEnd64Bytes)
    fail(fmt::format("its zip64 end record should be at byte {}, before byte {}", place,
                     end_record - kLocatorBytes));
  const std::string record = read_bytes(place, kEnd64Bytes);
  if (!record.starts_with(kEnd64))
    fail(fmt::format("byte {} holds {}, expected its zip64 end record", place,
                     in_quotes(record.substr(0, 4))));
  const End wide{number_at<std::uint64_t>(record, 32), number_at<std::uint64_t>(record, 40),
                 number_at<std::uint64_t>(record, 48), place};
  if ((classic.entries != 0xffff && classic.entries != wide.entries) ||
      (classic.bytes != kSeeZip64 && classic.bytes != wide.bytes) ||
      (classic.begin != kSeeZip64 && classic.begin != wide.begin))
    fail("its two end records contradict each other");
  return wide;
}

void ZipDirectory::read_members(const End& end, std::uint64_t most) {
  hold_to_limit("its directory", end.bytes, most);
  const std::string bytes = read_bytes(end.begin, end.bytes);
  members_.reserve(std::min(end.entries, end.bytes / kEntryBytes));
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const std::uint64_t place = end.begin + (bytes.size() - rest.size());
    if (rest.size() < kEntryBytes || !rest.starts_with(kEntry))
      fail(fmt::format("byte {} holds {}, expected an entry of its directory", place,
                       in_quotes(rest.substr(0, 4))));
    const std::size_t name = number_at<std::uint16_t>(rest, 28),
                      extra = number_at<std::uint16_t>(rest, 30),
                      comment = number_at<std::uint16_t>(rest, 32);
    if (name + extra + comment > rest.size() - kEntryBytes)
      fail(fmt::format("the entry at byte {} ends after the directory", place));
    ZipMember member;
    member.name = rest.substr(kEntryBytes, name);
    member.method = number_at<std::uint16_t>(rest, 10);
    member.crc = number_at<std::uint32_t>(rest, 16);
    Zip64Extra wide(rest.substr(kEntryBytes + name, extra));
    const auto unpacked = wide.widen(number_at<std::uint32_t>(rest, 24)),
               stored = wide.widen(number_at<std::uint32_t>(rest, 20)),
               header = wide.widen(number_at<std::uint32_t>(rest, 42));
    if (!unpacked || !stored || !header)
      fail(fmt::format("member {}: its zip64 numbers are missing", in_quotes(member.name)));
    member.bytes = *unpacked, member.stored = *stored, member.header = *header;
    if (number_at<std::uint16_t>(rest, 8) & kEncrypted)
      throw UnsupportedError(
          fmt::format("{}: zip archive: member {} is encrypted: decrypt it first",
                      file_.path().string(), in_quotes(member.name)));
    members_.push_back(std::move(member));
    rest.remove_prefix(kEntryBytes + name + extra + comment);
  }
  if (members_.size() != end.entries)
    fail(fmt::format("its directory has {} entries, its end record says {}", members_.size(),
                     end.entries));
}

/// Members follow one another: what overlaps hides something, or expands (a zip bomb).
void ZipDirectory::check_places(std::uint64_t directory) {
  std::sort(members_.begin(), members_.end(),
            [](const ZipMember& a, const ZipMember& b) { return a.header < b.header; });
  for (std::size_t i = 0; i < members_.size(); ++i) {
    ZipMember& member = members_[i];
    const bool last = i + 1 == members_.size();
    member.limit = last ? directory : members_[i + 1].header;
    const std::uint64_t head = kLocalBytes + member.name.size();
    if (member.header <= member.limit && member.limit - member.header >= head &&
        member.limit - member.header - head >= member.stored)
      continue;
    fail(fmt::format("member {} at byte {} takes {} bytes and overlaps {}, which begins at byte {}",
                     in_quotes(member.name), member.header, member.stored,
                     last ? "the directory" : "member " + in_quotes(members_[i + 1].name),
                     member.limit));
  }
}

void ZipDirectory::sort_by_name() {
  by_name_.resize(members_.size());
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return members_[a].name < members_[b].name; });
  const auto twice = std::adjacent_find(
      by_name_.begin(), by_name_.end(),
      [&](std::size_t a, std::size_t b) { return members_[a].name == members_[b].name; });
  if (twice != by_name_.end())
    fail(fmt::format("two members are called {}", in_quotes(members_[*twice].name)));
}

const ZipMember* ZipDirectory::find(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](std::size_t i, std::string_view wanted) { return members_[i].name < wanted; });
  return found != by_name_.end() && members_[*found].name == name ? &members_[*found] : nullptr;
}

std::uint64_t ZipDirectory::data_begin(const ZipMember& member) {
  const auto complain = [&](std::string_view problem) {
    fail(fmt::format("member {}: {}", in_quotes(member.name), problem));
  };
  const std::string head = read_bytes(member.header, kLocalBytes + member.name.size());
  if (!head.starts_with(kLocal))
    complain(fmt::format("byte {} holds {}, expected its local header", member.header,
                         in_quotes(head.substr(0, 4))));
  const std::size_t name = number_at<std::uint16_t>(head, 26),
                    extra = number_at<std::uint16_t>(head, 28);
  if (name != member.name.size() || !head.ends_with(member.name))
    complain("its local header has another name");
  // Sizes that follow the content are zeros here; saturated ones are in the directory.
  const bool sizes_follow = number_at<std::uint16_t>(head, 6) & kSizesFollow;
  const auto agrees = [&](std::size_t offset, std::uint64_t wanted) {
    const auto found = number_at<std::uint32_t>(head, offset);
    return found == wanted || (found == 0 && sizes_follow);
  };
  const auto size_agrees = [&](std::size_t offset, std::uint64_t wanted) {
    return agrees(offset, wanted) || number_at<std::uint32_t>(head, offset) == kSeeZip64;
  };
  if (number_at<std::uint16_t>(head, 8) != member.method || !agrees(14, member.crc) ||
      !size_agrees(18, member.stored) || !size_agrees(22, member.bytes))
    complain("its local header contradicts the directory");
  const std::uint64_t begin = member.header + kLocalBytes + name + extra;
  if (begin > member.limit || member.limit - begin < member.stored)
    complain(fmt::format("bytes {} to {} + {} overlap what begins at byte {}", begin, begin,
                         member.stored, member.limit));
  if (member.stored != member.bytes)
    complain(fmt::format("{} bytes stored plain are said to be {}", member.stored, member.bytes));
  return begin;
}

std::string ZipDirectory::read(const ZipMember& member, std::uint64_t most) {
  hold_to_limit("member " + in_quotes(member.name), member.bytes, most);
  std::string content = read_bytes(data_begin(member), member.bytes);
  if (const std::uint32_t found = crc32(content); member.crc != 0 && found != member.crc)
    fail(fmt::format("member {}: its bytes have the CRC {:08x}, expected {:08x}",
                     in_quotes(member.name), found, member.crc));
  return content;
}

bool looks_like_zip(const InputFile& file, std::string& first) {
  if (file.size() < kEndBytes) return false;
  std::string head(std::min<std::uint64_t>(file.size(), kLocalBytes + 256), '\0');
  file.read(0, head.size(), head.data());
  first.clear();
  if (head.starts_with(kEnd)) return true;
  if (!head.starts_with(kLocal)) return false;
  if (head.size() > kLocalBytes)
    first = head.substr(kLocalBytes, number_at<std::uint16_t>(head, 26));
  return true;
}

}  // namespace deadray
