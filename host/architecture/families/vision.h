#pragma once

#include "host/architecture/families/common.h"

// What the families that read pixels share.
namespace deadray {

/// Side of a square picture or patch: an integer, or a list of two equal ones.
/// @throws UnsupportedError for sides that differ
std::int64_t square_side(const Config& config, std::string_view key, std::int64_t fallback);

/// Channels, picture and patch from `num_channels`, `image_size` and `patch_size`.
/// @throws MalformedError for a picture smaller than a patch
PatchInput picture_input(const Config& config, std::int64_t default_image,
                         std::int64_t default_patch);

/// The convolution "<stem>.weight" [d, channels, (tubelet,) patch, patch] of an input whose sizes
/// are set.
LinearSpec patch_projection(const PatchInput& input, const std::string& stem, std::int64_t d,
                            bool bias, double deviation);

/// int(d * ratio), the width of an MLP. @throws MalformedError when that is no size
std::int64_t mlp_width(const Config& config, std::int64_t d, std::string_view ratio_key,
                       double default_ratio);

}  // namespace deadray
