#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace deadray {

/// A picture as the model's processor cuts it.
struct Picture {
  /// [rows * columns, pixels of a patch] FP32, row by row.
  at::Tensor patches;
  std::int64_t rows = 0, columns = 0;
};

/// What a model is run on: sequences of tokens, between which pictures may stand; or pictures or
/// clips of pixels.
struct Calibration {
  /// [sequences, length] int64, every one inside the vocabulary. Undefined for a model that reads
  /// pixels.
  at::Tensor ids{};
  /// "random", "random pixels", "random tokens and pixels", or the file's name.
  std::string kind;
  /// Of random tokens or pixels.
  std::uint64_t seed = 0;
  /// [pictures, channels, height, width] or [clips, frames, channels, height, width] FP32.
  /// Undefined for a model that reads tokens.
  at::Tensor pixels{};
  /// Tokens that the model makes of each picture or clip of `pixels`.
  std::int64_t pixels_length = 0;
  /// Pictures between the tokens, in order. Together they fill the places that `ids` holds for
  /// them.
  std::vector<Picture> pictures{};
  /// What the user should know of the file although it is no error.
  std::vector<std::string> notes{};
  /// File that it was read from; empty: drawn at random.
  std::filesystem::path file{};
  /// [sequences, length] bool: the tokens that others attend to. Undefined: all.
  at::Tensor attended{};
  /// [1 or sequences, length] int64: positions in place of those that the family counts.
  /// Undefined: it counts.
  at::Tensor position_ids{};
  /// So many attended tokens at the beginning of each sequence run, but enter no statistic.
  std::int64_t skip = 0;
  /// Of a part of a larger one (slice.h): rows() of the parts before it.
  std::int64_t rows_before = 0;

  std::int64_t sequences() const { return pixels.defined() ? pixels.size(0) : ids.size(0); }
  /// Tokens of each sequence.
  std::int64_t length() const { return pixels.defined() ? pixels_length : ids.size(1); }
  /// Rows of the residual stream.
  std::int64_t tokens() const { return sequences() * length(); }
  /// [sequences, length] bool: the tokens whose rows enter the statistics, neither hidden nor
  /// skipped. Undefined: all.
  at::Tensor counted() const;
  /// How many those are, in so many sequences at the beginning or in all.
  std::int64_t rows(std::int64_t first) const;
  std::int64_t rows() const { return rows(sequences()); }
  /// Tokens that the mask hides.
  std::int64_t masked() const;
  std::int64_t skipped() const { return tokens() - masked() - rows(); }

  /// Notes that the file holds fewer of something than was asked for.
  /// @param asked  0: all that there are   @param unit  plural, for the message
  void note_if_fewer(const std::filesystem::path& from, std::int64_t held, std::int64_t asked,
                     std::string_view unit);
};

}  // namespace deadray
