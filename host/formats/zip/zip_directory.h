#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/input_file.h"

namespace deadray {

/// A member of a zip archive as the archive's directory describes it.
struct ZipMember {
  std::string name;
  std::uint64_t header = 0;  ///< first byte of its local header, counted from the file's start
  std::uint64_t limit = 0;   ///< where the next member, or the directory, begins
  std::uint64_t bytes = 0;   ///< unpacked
  std::uint64_t stored = 0;  ///< in the file; differs from `bytes` where it is compressed
  std::uint32_t crc = 0;     ///< of the unpacked bytes; 0 where the writer computed none
  std::uint16_t method = 0;  ///< 0: stored as it is

  bool is_plain() const noexcept { return method == 0; }
};

/// The directory at the end of a zip archive, zip64 or not. Members are found and checked without
/// reading them: of gigabytes of tensors some kilobytes are read.
class ZipDirectory {
 public:
  /// Checks that the directory is whole, and that members neither overlap nor leave the file.
  /// @param most  bytes that the directory may take
  /// @throws MalformedError   damaged; names what was found where. Two members of one name
  /// @throws UnsupportedError an encrypted archive, or one in several volumes
  ZipDirectory(const InputFile& file, std::uint64_t most);

  const std::vector<ZipMember>& members() const noexcept { return members_; }  ///< as they lie
  const ZipMember* find(std::string_view name) const;                          ///< or nullptr
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  /// The first byte of a plain member's content. Its local header must agree with the directory.
  std::uint64_t data_begin(const ZipMember& member);
  /// The content of a plain member, its checksum compared.
  /// @param most  bytes that it may take
  std::string read(const ZipMember& member, std::uint64_t most);

 private:
  struct End;
  End find_end();
  End read_zip64_end(std::uint64_t end_record, const End& classic);
  void read_members(const End& end, std::uint64_t most);
  void check_places(std::uint64_t directory);
  void sort_by_name();
  std::string read_bytes(std::uint64_t offset, std::uint64_t count);
  [[noreturn]] void fail(std::string_view problem) const;  ///< of a damaged archive
  void hold_to_limit(std::string_view what, std::uint64_t bytes, std::uint64_t most) const;

  const InputFile& file_;
  std::vector<ZipMember> members_;
  std::vector<std::size_t> by_name_;
  std::uint64_t bytes_read_ = 0;
};

/// Whether a file begins with a member of a zip archive; `first` gets that member's name, cut after
/// 256 bytes.
bool looks_like_zip(const InputFile& file, std::string& first);

}  // namespace deadray
