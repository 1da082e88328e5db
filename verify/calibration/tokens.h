#pragma once

#include <cstdint>
#include <filesystem>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// Uniform token ids, the same on every machine, without those that stand for no text. A model with
/// a vision tower gets pictures too: see draw_pictures().
/// @param sequences, length  at least 1; length is cut to the longest sequence that the model takes
Calibration random_tokens(const Architecture& architecture, std::uint64_t seed,
                          std::int64_t sequences, std::int64_t length);

struct TokenFileOptions {
  /// At most so many rows; 0: all.
  std::int64_t sequences = 0;
  /// At most so many tokens of each; 0: all.
  std::int64_t length = 0;
  CheckpointOptions checkpoint{};
};

/// Reads what a model is to be run on. Tokens: `.npy` (int32 or int64, [batch, sequence]) or a
/// safetensors file with `input_ids`, where `attention_mask` hides some and `position_ids` place
/// them (stored_tokens.h). For a model with a vision tower that file holds pictures too, see
/// read_pictures(). For a model that reads pixels see read_pixels().
/// @throws MalformedError naming row and column of a token outside the vocabulary; for an empty
///     file, sequences longer than the model takes, a mask that is none or hides every token,
///     pictures that do not fill the places which the tokens hold for them
/// @throws UnsupportedError for pixels where the model reads tokens; for positions where it counts
///     its own
/// @throws UsageError where `length` cuts places of pictures off
Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture,
                        const TokenFileOptions& options = {});

}  // namespace deadray
