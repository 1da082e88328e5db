#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "host/base/input_file.h"
#include "host/formats/container.h"

namespace deadray {

/// The format that a file of this name should have; absent where the name says nothing.
std::optional<ContainerFormat> format_of_name(std::string_view name);

/// Looks at the first bytes of a file that no reader took.
/// @throws UnsupportedError for a Python pickle of something else
/// @throws MalformedError   for a git-LFS pointer, a web page or another text in place of weights;
/// for a file whose name promises a format that it does not begin with
void refuse_other_formats(const InputFile& file);

}  // namespace deadray
