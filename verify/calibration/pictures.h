#pragma once

#include <filesystem>

#include "verify/calibration/calibration.h"

namespace deadray {

/// Draws what stands between the tokens: in the middle of each sequence a square picture of at most
/// half its length, pixels from N(1/2, 1/4), so that the tower reads N(0, 1). Sequences of one
/// token get none.
void draw_pictures(const VisionTower& tower, Calibration& calibration);

/// Reads the pictures that the calibration's tokens hold places for: `pixel_values` [pictures,
/// patches, pixels] and `image_position_ids` [pictures, patches, 2], column and row of each patch,
/// -1 where the processor padded.
/// @param file   safetensors, or anything else, which holds none
/// @param cut    whether the calibration has fewer sequences than the file: then pictures may be
/// left over
/// @throws MalformedError with file, picture, what was found and expected: shapes, patches that
/// make no grid of whole blocks, pixels that are
///         not finite, pictures that do not fill the places; UnsupportedError for video
void read_pictures(const std::filesystem::path& file, const VisionTower& tower,
                   const CheckpointOptions& options, bool cut, Calibration& calibration);

}  // namespace deadray
