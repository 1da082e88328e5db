#pragma once

#include <initializer_list>
#include <string_view>

// What the programs write to the terminal, or to whoever reads it: the one way there. Names come
// from files, so that whatever a terminal would obey is shown as \x1b and the like instead.
namespace deadray {

/// The only commands to a terminal that write_output() lets through.
inline constexpr std::string_view kBold = "\033[1m", kPlain = "\033[0m";

/// Nobody reads standard output any more: ends the program quietly with 141.
struct ClosedPipe {};

/// Text for standard output.
/// @throws ResourceError when it cannot be written, ClosedPipe when nobody reads any more
void write_output(std::string_view text);

/// A line for people on standard error, cut after 10,000 bytes. Failures there are nobody's
/// concern.
void write_message(std::string_view text) noexcept;

/// The same of several parts, one after another. Where there is no memory left to show every name
/// as it should be, other letters than ASCII's become "?".
void write_message_of(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace deadray
