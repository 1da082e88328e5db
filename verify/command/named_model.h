#pragma once

#include <filesystem>
#include <string_view>

#include "verify/measure/model.h"

namespace deadray {

/// The path of MODEL, which may be a name of the hub. Of random weights the configuration alone is
/// wanted, which is fetched; trained weights are in the Hugging Face cache or downloaded into it.
/// Where several processes share a measurement each asks, and one downloads.
/// @throws as find_models() does
std::filesystem::path find_weights_of(const std::filesystem::path& model, Source init,
                                      std::string_view command, bool download, bool quiet);

}  // namespace deadray
