#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// What a file says of every token.
struct StoredTokens {
  at::Tensor ids;           ///< [batch, sequence] int64
  at::Tensor attended;      ///< [batch, sequence] bool; undefined: no mask
  at::Tensor position_ids;  ///< [1 or batch, sequence] int64; undefined: none
  std::vector<std::string> notes;

  /// The first sequences, and the first tokens of each. 0: all.
  StoredTokens cut(std::int64_t sequences, std::int64_t length) const;
};

/// Reads `.npy`, or safetensors with `input_ids`, `attention_mask` and `position_ids`.
/// @throws MalformedError for another type or shape; a mask's value that is neither 0 nor 1
/// @throws UnsupportedError for pixels where the model reads tokens; for `position_ids` where the
///     model has no positions that they could give (ALiBi)
StoredTokens read_stored_tokens(const std::filesystem::path& file, const Architecture& architecture,
                                const CheckpointOptions& options);

/// @param tokens  of the file, cut as they are run
/// @throws MalformedError naming row and column of a token outside the vocabulary or a position
///     outside the model; for no tokens, sequences longer than the model takes, a mask that hides
///     every token
/// @throws UnsupportedError for the place of something that deadray does not embed
void check_stored_tokens(const StoredTokens& tokens, const std::filesystem::path& file,
                         const Architecture& architecture);

}  // namespace deadray
