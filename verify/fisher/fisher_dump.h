#pragma once

#include <filesystem>
#include <span>

#include "verify/fisher/fisher_result.h"

namespace deadray {

/// Writes directions with F of each to a safetensors file, so that another program can measure the
/// same ones. Its tensors are FP64 vectors. Its metadata "cases" is a JSON list of {site, consumer,
/// kind, moves: [{consumer, u, through, r, s}], norm, shift, fisher}, in which a vector stands by
/// the name of its tensor, or null. docs/fisher.md says what they mean.
/// @throws ResourceError where the file cannot be written
void write_directions(const std::filesystem::path& file,
                      std::span<const MeasuredDirection> directions);

}  // namespace deadray
