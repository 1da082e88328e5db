#pragma once

#include <cstdint>
#include <filesystem>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// [pictures, channels, height, width].
inline constexpr const char* kPicturesTensor = "pixel_values";
/// [clips, frames, channels, height, width].
inline constexpr const char* kClipsTensor = "pixel_values_videos";

/// "picture" or "clip".
const char* pixel_unit(const PatchInput& input);

/// Tokens that a model makes of each picture or clip.
std::int64_t tokens_of_each(const PatchInput& input, const at::Tensor& pixels);

/// Tokens of each picture or clip of the size that the model was made for.
std::int64_t tokens_of_each(const PatchInput& input);

/// Pixels from N(0, 1), which is how processors leave them on average, of the size that the model
/// was made for. The same on every machine.
/// @param count  pictures or clips, at least 1
Calibration random_pixels(const PatchInput& input, std::uint64_t seed, std::int64_t count);

/// Reads `pixel_values`, or `pixel_values_videos` for a model of clips, of any float type.
/// @param count  at most so many pictures or clips; 0: all
/// @throws MalformedError with file, tensor, what was found and expected: for another rank, number
///     of channels or type; a height or width that is neither a multiple of the patch nor the
///     model's own; frames that are no multiple of the tubelet; a pixel that is not finite; no
///     pixels at all
/// @throws UnsupportedError for another kind of file
Calibration read_pixels(const std::filesystem::path& file, const PatchInput& input,
                        std::int64_t count, const CheckpointOptions& options);

}  // namespace deadray
