#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// A picture as the model's processor cuts it.
struct Picture {
  at::Tensor patches;  ///< [rows * columns, pixels of a patch] FP32, row by row
  std::int64_t rows = 0, columns = 0;
};

/// What a model is run on: sequences of token ids, with pictures between them or not, or pictures
/// or clips of pixels.
struct Calibration {
  at::Tensor ids{};  ///< [sequences, length] int64, every one inside the vocabulary; undefined for
                     ///< a model that reads pixels
  std::string kind;  ///< "random", "random pixels", "random tokens and pixels", or the file's name
  std::uint64_t seed = 0;  ///< of random tokens or pixels
  at::Tensor pixels{};     ///< [pictures, channels, height, width] or [clips, frames, channels,
                           ///< height, width] FP32; else undefined
  std::int64_t pixels_length = 0;   ///< tokens that the model makes of each
  std::vector<Picture> pictures{};  ///< between the ids, in order; together they fill the places
                                    ///< that the ids hold for them
  std::vector<std::string>
      notes{};  ///< what the user should know of the file although it is no error
  std::filesystem::path file{};  ///< that it was read from; empty: drawn at random

  std::int64_t sequences() const { return pixels.defined() ? pixels.size(0) : ids.size(0); }
  std::int64_t length() const {
    return pixels.defined() ? pixels_length : ids.size(1);
  }  ///< tokens of each sequence
  std::int64_t tokens() const { return sequences() * length(); }  ///< rows of the residual stream
};

/// Uniform token ids, the same on every machine, but for those that stand for no text. A model with
/// a vision tower gets a picture of random pixels in the middle of each sequence, at most half as
/// long as that.
/// @param sequences, length  at least 1; length is cut to the longest sequence that the model takes
Calibration random_tokens(const Architecture& architecture, std::uint64_t seed,
                          std::int64_t sequences, std::int64_t length);

struct TokenFileOptions {
  std::int64_t sequences = 0;  ///< at most so many rows; 0: all
  std::int64_t length = 0;     ///< at most so many tokens of each; 0: all
  CheckpointOptions checkpoint{};
};

/// Notes that a file holds fewer of something than was asked for. @param asked  0: as many as there
/// are
void note_if_fewer(Calibration& calibration, const std::filesystem::path& file, std::int64_t held,
                   std::int64_t asked, std::string_view unit);

/// Reads `.npy` (int32 or int64, [batch, sequence]) or a safetensors file with `input_ids`, for a
/// model with a vision tower also with `pixel_values` and `image_position_ids` as its processor
/// makes them; for a model that reads pixels a safetensors file with `pixel_values` or
/// `pixel_values_videos` (see read_pixels()).
/// @throws MalformedError naming row and column of a token outside the vocabulary, an empty file,
/// sequences longer than the model takes,
///         pictures that do not fill the places which the tokens hold for them; UnsupportedError
///         for an attention_mask that hides tokens, for pixels where the model reads tokens
Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture,
                        const TokenFileOptions& options = {});

}  // namespace deadray
