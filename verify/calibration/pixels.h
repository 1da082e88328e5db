#pragma once

#include <cstdint>
#include <filesystem>

#include "verify/calibration/calibration.h"

namespace deadray {

inline constexpr const char* kPicturesTensor =
    "pixel_values";  ///< [pictures, channels, height, width]
inline constexpr const char* kClipsTensor =
    "pixel_values_videos";  ///< [clips, frames, channels, height, width]

/// "picture" or "clip".
const char* pixel_unit(const PatchInput& input);

/// Tokens that a model makes of each picture or clip.
std::int64_t tokens_of_each(const PatchInput& input, const at::Tensor& pixels);

/// As random_pixels() makes them, of the size that the model was made for.
std::int64_t tokens_of_each(const PatchInput& input);

/// Pixels from N(0, 1), as processors leave them on average; the same on every machine.
/// @param count  pictures or clips, at least 1
Calibration random_pixels(const PatchInput& input, std::uint64_t seed, std::int64_t count);

/// Reads `pixel_values`, or `pixel_values_videos` for a model of clips, of any float type.
/// @param count  at most so many pictures or clips; 0: all
/// @throws MalformedError with file, tensor, what was found and expected: another rank, number of
/// channels or type, a height or width that is
///         no multiple of the patch nor the model's own (frames, no multiple of the tubelet), a
///         pixel that is not finite, no pixels at all; UnsupportedError for another kind of file
Calibration read_pixels(const std::filesystem::path& file, const PatchInput& input,
                        std::int64_t count, const CheckpointOptions& options);

}  // namespace deadray
