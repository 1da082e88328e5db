#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace deadray {

/// The checksum of zip archives (CRC-32, reflected polynomial 0xedb88320), bytewise: some hundred
/// MB/s, enough for the kilobytes that it is asked for.
inline std::uint32_t crc32(std::string_view bytes) noexcept {
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320U : 0U);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffffU;
  for (const char byte : bytes)
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xffU];
  return crc ^ 0xffffffffU;
}

}  // namespace deadray
