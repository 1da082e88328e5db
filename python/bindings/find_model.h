#pragma once

#include <filesystem>
#include <string>

namespace deadray {

/// What is given if something is there; else what the hub's cache holds of that name, which is
/// "org/name" or "org/name@revision". Of a name that the cache lacks the reader says what it says
/// of a path.
/// @throws CodedError<ExitCode::network> where a download was not finished
std::filesystem::path find_model(const std::string& given);

}  // namespace deadray
