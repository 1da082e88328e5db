#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "verify/spectrum/residual_stream.h"

// A run at the end of a block, in memory and in a file.
namespace deadray {

/// The end of a block: nothing is under way but the stream.
struct RunState {
  std::int64_t node = 0;      ///< the stream enters block `node`
  at::Tensor stream{};        ///< [N, d], of this rank's tokens
  nlohmann::json measured{};  ///< what the norms so far have given
  std::optional<ResidualStream::State> residual{};
};

/// A state and what it is of.
struct SavedState {
  RunState state;
  std::string inputs;  ///< JSON: run_identity()
};

/// The file appears whole or not at all, with checksums.
/// @throws ResourceError where it cannot be written; UsageError where a link or a device is there
void write_state(const std::filesystem::path& file, const SavedState& saved);
/// @throws MalformedError for a damaged file, or another; UsageError for a link
SavedState read_state(const std::filesystem::path& file);

}  // namespace deadray
