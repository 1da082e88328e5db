#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/zip/crc32.h"
#include "tests/support/safetensors_bytes.h"

// Zip archives byte by byte, sound until a test changes them.
namespace deadray::test {

struct ZipPart {
  std::string name, content;
};

/// An archive of members stored plain, and where its parts are.
struct ZipBytes {
  std::string bytes;
  std::vector<std::size_t> local, central;  ///< headers of each member
  std::size_t end = 0;                      ///< its end record

  template <typename T>
  ZipBytes& set(std::size_t at, T value) {
    bytes.replace(at, sizeof(T), bytes_of(value));
    return *this;
  }
};

inline ZipBytes zip_of(const std::vector<ZipPart>& parts, std::string_view comment = "") {
  ZipBytes zip;
  const auto common = [](const ZipPart& part) {
    const auto size = static_cast<std::uint32_t>(part.content.size());
    return bytes_of(std::vector<std::uint16_t>{20, 0, 0, 0, 0}) + bytes_of(crc32(part.content)) +
           bytes_of(size) + bytes_of(size) +
           bytes_of(static_cast<std::uint16_t>(part.name.size())) + std::string(2, '\0');
  };
  for (const ZipPart& part : parts) {
    zip.local.push_back(zip.bytes.size());
    zip.bytes += "PK\x03\x04" + common(part) + part.name + part.content;
  }
  const auto begin = static_cast<std::uint32_t>(zip.bytes.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    zip.central.push_back(zip.bytes.size());
    zip.bytes += "PK\x01\x02" + bytes_of(std::uint16_t{20}) + common(parts[i]) +
                 std::string(10, '\0') + bytes_of(static_cast<std::uint32_t>(zip.local[i])) +
                 parts[i].name;
  }
  zip.end = zip.bytes.size();
  const auto count = static_cast<std::uint16_t>(parts.size());
  zip.bytes += "PK\x05\x06" + std::string(4, '\0') + bytes_of(count) + bytes_of(count) +
               bytes_of(static_cast<std::uint32_t>(zip.end - begin)) + bytes_of(begin) +
               bytes_of(static_cast<std::uint16_t>(comment.size())) + std::string(comment);
  return zip;
}

}  // namespace deadray::test
