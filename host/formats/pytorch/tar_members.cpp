#include "host/formats/pytorch/tar_members.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/damaged.h"

namespace deadray {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::size_t kMostMembers = 1000;

/// A tar header's number: octal digits, or for large ones big-endian after a set bit.
std::optional<std::uint64_t> tar_number(std::string_view field) {
  if (field[0] == '\x80') {
    std::uint64_t value = 0;
    for (const char byte : field.substr(field.size() - 8))
      value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  field.remove_prefix(std::min(field.size(), field.find_first_not_of(' ')));
  std::uint64_t value = 0;
  const auto result = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

/// Whether a block's checksum is that of its bytes, its own eight taken for spaces.
bool is_tar_header(std::string_view block) {
  if (block.substr(257, 5) != "ustar") return false;
  std::uint64_t sum = 8 * std::uint64_t{' '};
  for (std::size_t i = 0; i < block.size(); ++i)
    if (i < 148 || i >= 156) sum += static_cast<unsigned char>(block[i]);
  return tar_number(block.substr(148, 8)) == sum;
}

}  // namespace

bool looks_like_tar(const InputFile& file) {
  if (file.size() < kBlock) return false;
  std::string block(kBlock, '\0');
  file.read(0, kBlock, block.data());
  return is_tar_header(block);
}

TarMembers read_tar_members(const InputFile& file) {
  TarMembers members;
  for (std::uint64_t at = 0; file.size() - at >= kBlock && members.size() < kMostMembers;) {
    std::string block(kBlock, '\0');
    file.read(at, kBlock, block.data());
    if (block.find_first_not_of('\0') == block.npos) break;
    const std::string_view header = block;
    const auto size = tar_number(header.substr(124, 12));
    if (!is_tar_header(header) || !size)
      throw MalformedError(fmt::format("{}: tar archive: byte {} holds {}, expected a header: {}",
                                       file.path().string(), at, in_quotes(header.substr(0, 8)),
                                       kDamaged));
    const std::string_view name = header.substr(0, std::min<std::size_t>(100, header.find('\0')));
    const std::uint64_t begin = at + kBlock;
    if (*size > file.size() - begin)
      throw MalformedError(fmt::format(
          "{}: tar archive: member {} takes {} bytes from byte {} on, the file has {}: truncated, "
          "fetch it again",
          file.path().string(), in_quotes(name), *size, begin, file.size()));
    members.insert_or_assign(std::string(name), TarMember{begin, begin + *size});
    at = begin + std::min(file.size() - begin, (*size + kBlock - 1) / kBlock * kBlock);
  }
  return members;
}

}  // namespace deadray
