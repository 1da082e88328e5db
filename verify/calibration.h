#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "host/architecture.h"

namespace deadray {

/// The tokens that a model is run on.
struct Calibration {
  at::Tensor ids;          ///< [sequences, length] int64, every one inside the vocabulary
  std::string kind;        ///< "random" or the file's name
  std::uint64_t seed = 0;  ///< of random tokens
  std::int64_t tokens() const { return ids.numel(); }
};

/// Uniform token ids, the same on every machine.
/// @param sequences, length  at least 1; length is cut to the longest sequence that the model takes
Calibration random_tokens(const Architecture& architecture, std::uint64_t seed, std::int64_t sequences, std::int64_t length);

struct TokenFileOptions {
  std::int64_t sequences = 0;  ///< at most so many rows; 0: all
  std::int64_t length = 0;     ///< at most so many tokens of each; 0: all
};

/// Reads `.npy` (int32 or int64, [batch, sequence]) or a safetensors file with `input_ids`.
/// @throws MalformedError naming row and column of a token outside the vocabulary, an empty file, sequences longer than the model takes,
///         an attention_mask that hides tokens
Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture, const TokenFileOptions& options = {});

}  // namespace deadray
