#pragma once

#include <span>
#include <string>
#include <string_view>

namespace deadray {

/// A name out of a file, as a message shows it: in single quotes, on one line, at most about 100
/// bytes. Control characters become \x0a and the like.
std::string in_quotes(std::string_view name);

/// The same without the quotes, for longer text out of a file; cut after about `most` bytes, at a
/// whole UTF-8 character.
std::string on_one_line(std::string_view text, std::size_t most);
std::string on_one_line(std::string_view text);  ///< whole

/// The same for text of several lines: whole, and its line ends stay.
std::string in_lines(std::string_view text);

/// "a, b, c and 5 more": at most `most` of the names, each on one line.
std::string first_few(std::span<const std::string> names, std::size_t most = 3);

}  // namespace deadray
