#pragma once

#include <filesystem>
#include <span>

#include "verify/fisher/fisher.h"

namespace deadray {

/// Writes directions with F of each to a safetensors file, so that another program can measure the
/// same ones: FP64 vectors, and under the metadata's "cases" a JSON list of {site, consumer, kind,
/// moves: [{consumer, u, through, r, s}], norm, shift, fisher}, vectors by the name of their tensor
/// or null. docs/fisher.md says what they mean. @throws ResourceError where it cannot be written
void write_directions(const std::filesystem::path& file,
                      std::span<const MeasuredDirection> directions);

}  // namespace deadray
