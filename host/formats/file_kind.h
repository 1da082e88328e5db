#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "host/base/input_file.h"

namespace deadray {

/// The name of a weight format that deadray does not read itself but that scripts/convert turns
/// into safetensors, judged by the file's name: "PyTorch pickle".
std::optional<std::string_view> convertible_format(const std::filesystem::path& file);

/// @throws UnsupportedError naming the file, its format, and `scripts/convert FILE OUT_FOLDER`
[[noreturn]] void throw_convertible(const std::filesystem::path& file, std::string_view format);

/// Looks at the first bytes of a file that is no safetensors file.
/// @throws UnsupportedError for PyTorch content under another name
/// @throws MalformedError   for a git-LFS pointer, a web page or another text in place of weights
void refuse_other_formats(const InputFile& file);

}  // namespace deadray
