#pragma once

#include <filesystem>
#include <optional>

namespace deadray {

/// Where a link among a model's files leads, if that is out of their folder; absent else, and for
/// what is not there. In the Hugging Face cache the files of <model>/snapshots/<commit> are links
/// into <model>/blobs, which belongs to the model.
std::optional<std::filesystem::path> outside(const std::filesystem::path& file,
                                             const std::filesystem::path& folder);

/// For a file that nobody named but the model's folder: what comes from elsewhere must not make us
/// read elsewhere.
/// @throws MalformedError naming the link and where it leads
void refuse_link_outside(const std::filesystem::path& file, const std::filesystem::path& folder);

}  // namespace deadray
