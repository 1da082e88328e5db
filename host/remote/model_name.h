#pragma once

#include <string>
#include <string_view>

namespace deadray {

/// What a user calls a model that is elsewhere.
struct ModelName {
  std::string repository;  ///< "org/name", or "name" alone; empty: a URL
  std::string revision;    ///< branch, tag or commit; "main" where none was given
  std::string url;         ///< of a file of weights
};

/// "org/name", "org/name@revision", "https://…/model.safetensors".
/// @throws UsageError saying what is expected
ModelName parse_model_name(const std::string& text);

/// 7 to 64 hexadecimal digits.
bool is_commit(std::string_view text);

/// Whether a file's name in a repository leads nowhere else when it is made a path.
bool is_safe_path(std::string_view name);

}  // namespace deadray
