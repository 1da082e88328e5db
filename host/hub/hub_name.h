#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace deadray {

/// What a user calls a model that lies on the hub, or behind a URL.
struct HubName {
  std::string repository;  ///< "org/name", or "name" alone; empty: a URL
  std::string revision;    ///< branch, tag or commit; empty: none was given
  std::string url;         ///< of a file of weights
  bool is_url() const noexcept { return !url.empty(); }
  std::string text() const;  ///< as a user writes it
};

/// "name", "org/name" and either with "@revision"; "https://…/model.safetensors" or another file of
/// weights.
/// @return nullopt where it looks like none: a path, a file of weights, a page of the hub
std::optional<HubName> parse_hub_name(std::string_view text);

/// "https://" or "http://", whatever follows.
bool is_url(std::string_view text);

/// A URL as messages and records show it: without user, password, query and fragment, which may
/// hold secrets.
std::string shown_url(std::string_view url);

/// A branch, tag or commit that leads nowhere else when it is made a path or a URL.
bool is_revision(std::string_view text);

}  // namespace deadray
