#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/architecture.h"

namespace deadray {

/// A picture as the model's processor cuts it.
struct Picture {
  at::Tensor patches;  ///< [rows * columns, pixels of a patch] FP32, row by row
  std::int64_t rows = 0, columns = 0;
};

/// The tokens that a model is run on, and the pictures between them.
struct Calibration {
  at::Tensor ids;                 ///< [sequences, length] int64, every one inside the vocabulary
  std::string kind;               ///< "random", "random tokens and pixels" or the file's name
  std::uint64_t seed = 0;         ///< of what is random
  std::vector<Picture> pictures;  ///< in order; together they fill the places that the ids hold for them
  std::int64_t tokens() const { return ids.numel(); }
};

/// Uniform token ids, the same on every machine, but for those that stand for no text. A model with a vision tower gets a picture of random
/// pixels in the middle of each sequence, at most half as long as that.
/// @param sequences, length  at least 1; length is cut to the longest sequence that the model takes
Calibration random_tokens(const Architecture& architecture, std::uint64_t seed, std::int64_t sequences, std::int64_t length);

struct TokenFileOptions {
  std::int64_t sequences = 0;  ///< at most so many rows; 0: all
  std::int64_t length = 0;     ///< at most so many tokens of each; 0: all
};

/// Reads `.npy` (int32 or int64, [batch, sequence]) or a safetensors file with `input_ids`; for a model with a vision tower also with
/// `pixel_values` and `image_position_ids`, as its processor makes them.
/// @throws MalformedError naming row and column of a token outside the vocabulary, an empty file, sequences longer than the model takes,
///         an attention_mask that hides tokens, pictures that do not fill the places which the tokens hold for them
Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture, const TokenFileOptions& options = {});

}  // namespace deadray
