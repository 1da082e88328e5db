#pragma once

#include <cstddef>
#include <string_view>

namespace deadray {

struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;  ///< in bytes; 0 where the text does not begin with a character
};

/// The character that a UTF-8 text begins with. Its length is 0 for an empty text, and for one
/// whose first bytes are ill-formed: cut off, overlong, a surrogate, beyond U+10FFFF.
Utf8Character first_character(std::string_view text) noexcept;

/// The first byte that belongs to no character; npos where the whole text is UTF-8.
std::size_t first_ill_formed(std::string_view text) noexcept;

}  // namespace deadray
