#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/architecture/families/outline.h"

// What the families that read pixels share.
namespace deadray {

/// Width, heads and their width. The sizes of its class are the default: transformers' vision
/// models share them.
Sizes picture_sizes(const Config& config);

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

/// The embedding of ViT and DINOv2: patches behind a class token, one learned position each.
PatchInput vit_embedding(const Config& config, const Parts& parts, std::int64_t default_patch);

/// int(d * ratio), the width of an MLP. @throws MalformedError when that is no size
std::int64_t mlp_width(const Config& config, std::int64_t d, std::string_view ratio_key,
                       double default_ratio);

}  // namespace deadray
