#pragma once

#include <filesystem>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// Tokens that a picture becomes: places that the sequences hold for it.
std::int64_t picture_tokens(const VisionTower& tower, const Picture& picture);

/// Draws what stands between the tokens: in the middle of each sequence a square picture of at most
/// half its length. Pixels come from N(1/2, 1/4), so that the tower reads N(0, 1). A sequence of
/// one token gets none.
void draw_pictures(const VisionTower& tower, Calibration& calibration);

/// Whether pictures may be left once all places are filled: they may where the calibration has
/// fewer sequences than the file.
enum class LeftOverPictures { refused, allowed };

/// Reads the pictures that the calibration's tokens hold places for: `pixel_values` [pictures,
/// patches, pixels] and `image_position_ids` [pictures, patches, 2], column and row of each patch,
/// -1 where the processor padded.
/// @param file  safetensors; anything else holds no pictures
/// @throws MalformedError with file, picture, what was found and expected: for wrong shapes,
/// patches
///     that make no grid of whole blocks, pixels that are not finite, pictures that do not fill the
///     places
/// @throws UnsupportedError for video
void read_pictures(const std::filesystem::path& file, const VisionTower& tower,
                   const CheckpointOptions& options, LeftOverPictures left_over,
                   Calibration& calibration);

}  // namespace deadray
