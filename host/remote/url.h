#pragma once

#include <string>
#include <string_view>

// What is asked of URLs. All of it is libcurl's own view of them, so that what is compared is what
// is connected to.
namespace deadray {

/// Scheme, host and port, these written out: "https://example.org:443".
/// @return "" where that is no http or https URL
std::string origin_of(const std::string& url);

/// Whether both lead to the same server: scheme, host and port.
bool same_origin(const std::string& a, const std::string& b);

/// A URL as messages and records show it: without user, password, query and fragment, which may
/// hold secrets.
std::string shown_url(const std::string& url);

/// The part behind the last "/", decoded; empty where there is none.
std::string file_name_of(const std::string& url);

/// The URL of another file in the same folder, without the query.
std::string beside(const std::string& url, std::string_view name);

/// One segment of a path: everything but letters, digits and "-._~" as %XX.
std::string quote_segment(std::string_view text);

/// The same of a path, whose slashes stay.
std::string quote_path(std::string_view path);

}  // namespace deadray
