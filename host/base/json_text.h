#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace deadray {

/// Why read_json_events() takes no such text: "not UTF-8 at byte 17", or "not JSON at line 2,
/// column 5 (byte 17): …".
/// @param first  number of the text's first byte in its file
std::string explain_json_error(std::string_view text, std::size_t first = 0);

/// Python's bare NaN, Infinity and -Infinity are read as strings, so that a key which nobody reads
/// may have them.
/// @param name  the file, for messages
/// @throws MalformedError when the text is no JSON, no object, nested deeper than 100 levels, or
/// has a key twice in one object
nlohmann::json parse_json_object(const std::string& text, const std::filesystem::path& name);

/// A record as deadray writes it: indented by two, and a line end. What a terminal would obey
/// stands there as \u009b and the like, which readers of JSON take for the character itself.
std::string record_text(const nlohmann::ordered_json& record);

/// A value as a message shows it, on one line, cut when long: "'x' (a string)", "12 (an integer)".
std::string show_json(const nlohmann::json& value);

}  // namespace deadray
