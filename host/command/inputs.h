#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace deadray {

/// What a command reads, as its command line names it. Empty paths count for nothing.
struct Inputs {
  std::vector<std::filesystem::path> models;  ///< folders, files of weights, indices
  std::vector<std::filesystem::path> files;   ///< tokens, activations, rosters
};

/// Before long work: what is written shall replace nothing of what is read, by whatever path or
/// link it is named. Of a model that is all that a command may open; of a model's folder any file
/// at all, but for the records that deadray has written there.
/// @throws UsageError naming both
void refuse_to_replace(const std::filesystem::path& output, const Inputs& inputs);
/// The same for many outputs: each model's folder is listed once.
void refuse_to_replace(std::span<const std::filesystem::path> outputs, const Inputs& inputs);

/// All that can be known of an output before the work; an empty path is none.
/// @throws as refuse_to_replace() and check_writable() do
void check_output(const std::filesystem::path& output, const Inputs& inputs);

}  // namespace deadray
