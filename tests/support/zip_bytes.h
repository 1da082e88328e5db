#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/safetensors_bytes.h"

// Zip archives byte by byte.
namespace deadray::test {

/// The checksum that a zip archive has of each member.
inline std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t sum = ~0u;
  for (const char byte : bytes) {
    sum ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ (sum & 1u ? 0xedb88320u : 0u);
  }
  return ~sum;
}

/// An archive of members that are stored plain, in this order.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& members) {
  constexpr std::uint16_t kVersion = 20, kNone = 0;
  std::string archive, directory;
  for (const auto& [name, content] : members) {
    const auto offset = static_cast<std::uint32_t>(archive.size());
    const auto size = static_cast<std::uint32_t>(content.size());
    const std::string common = bytes_of(std::array<std::uint16_t, 5>{kVersion, kNone, kNone, kNone,
                                                                      kNone}) +
                               bytes_of(crc32_of(content)) + bytes_of(size) + bytes_of(size) +
                               bytes_of(static_cast<std::uint16_t>(name.size())) + bytes_of(kNone);
    archive += "PK\x03\x04" + common + name + content;
    directory += "PK\x01\x02" + bytes_of(kVersion) + common +
                 bytes_of(std::array<std::uint16_t, 3>{kNone, kNone, kNone}) +
                 bytes_of(std::uint32_t{0}) + bytes_of(offset) + name;
  }
  const auto count = static_cast<std::uint16_t>(members.size());
  const auto begin = static_cast<std::uint32_t>(archive.size());
  return archive + directory + "PK\x05\x06" + bytes_of(kNone) + bytes_of(kNone) + bytes_of(count) +
         bytes_of(count) + bytes_of(static_cast<std::uint32_t>(directory.size())) +
         bytes_of(begin) + bytes_of(kNone);
}

}  // namespace deadray::test
