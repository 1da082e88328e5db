#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "host/base/input_file.h"
#include "host/formats/elements/number_at.h"

namespace deadray {

/// Reads the head of a GGUF file from front to back, a piece at a time. Every length is checked
/// against what is left of the file before anything is allocated.
/// All throw MalformedError naming the file, about() and the byte.
class GgufHeadReader {
 public:
  /// @param most  a longer head is refused
  GgufHeadReader(const InputFile& file, std::uint64_t most);

  std::uint64_t position() const noexcept { return piece_begin_ + at_; }  ///< the next byte
  /// Of the file and of the longest head that is read, from the next byte on.
  std::uint64_t left() const noexcept { return most_ - position(); }

  /// Says what is read from now on, for messages: "key 'general.name'".
  void about(std::string item) { about_ = std::move(item); }
  [[noreturn]] void fail(std::string_view problem) const;
  /// @throws unless `count` things of `bytes` or more each may follow; both may be anything
  void expect(std::uint64_t count, std::uint64_t bytes, std::string_view things) const;

  template <typename Number>
  Number number() {
    if (filled_ - at_ < sizeof(Number)) fill(sizeof(Number));
    const auto value = number_at<Number>({piece_.get() + at_, sizeof(Number)});
    at_ += sizeof(Number);
    return value;
  }
  std::string text();
  void skip(std::uint64_t bytes);
  void skip_text() { skip(text_length()); }

 private:
  std::uint64_t text_length();
  void fill(std::size_t bytes);

  const InputFile& file_;
  std::uint64_t most_;
  std::string about_ = "header";
  std::unique_ptr<char[]> piece_;
  std::uint64_t piece_begin_ = 0;
  std::size_t at_ = 0, filled_ = 0;  ///< in the piece
};

}  // namespace deadray
