#pragma once

#include <initializer_list>
#include <string_view>

// What the programs write to the terminal, or to whoever reads it.
namespace deadray {

/// Nobody reads standard output any more: ends the program quietly with 141.
struct ClosedPipe {};

/// Text for standard output.
/// @throws ResourceError when it cannot be written, ClosedPipe when nobody reads any more
void write_output(std::string_view text);

/// A line for people on standard error. Failures there are nobody's concern.
void write_message(std::string_view text) noexcept;

/// The same of at most 7 parts, one after another. Takes no memory: for when there is none.
void write_message_of(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace deadray
