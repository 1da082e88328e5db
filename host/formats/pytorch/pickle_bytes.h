#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/base/input_file.h"

namespace deadray {

/// The bytes of a pickle, read forward as far as they are asked for: where one ends in the middle
/// of gigabytes only its end tells.
class PickleBytes {
 public:
  /// Of the file's bytes from `begin` to `end`.
  /// @param most  how many may be read
  PickleBytes(const InputFile& file, std::uint64_t begin, std::uint64_t end, std::uint64_t most);
  /// Of a text that was read already and begins at byte `begin` of the file.
  PickleBytes(const InputFile& file, std::uint64_t begin, std::string text);

  /// Moves over `count` bytes. They stay where they are until the next call.
  /// @throws MalformedError naming the byte where the pickle ends before; or longer than `most`
  std::string_view take(std::uint64_t count);
  /// Up to a line end, which is moved over but not part of it.
  std::string_view take_line();

  std::uint64_t at() const noexcept { return at_; }              ///< counted from `begin`
  std::uint64_t place() const noexcept { return begin_ + at_; }  ///< counted from the file's start
  std::uint64_t bytes_read() const noexcept { return buffer_.size(); }
  const InputFile& file() const noexcept { return file_; }
  /// Bytes that were taken before.
  std::string_view text(std::uint64_t at, std::uint64_t size) const {
    return std::string_view(buffer_).substr(at, size);
  }

 private:
  void hold(std::uint64_t count);

  const InputFile& file_;
  std::uint64_t begin_, end_, most_;
  std::uint64_t at_ = 0;
  std::string buffer_;
};

}  // namespace deadray
