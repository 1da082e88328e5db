#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "host/architecture/layer_specs.h"
#include "verify/layers/rotary.h"

namespace deadray {

/// Where the tokens of some sequences stand, and who is there to be seen.
struct TokenPlaces {
  /// [1 or sequences, length, axes] FP32; for text positions 0, 1, ...
  at::Tensor coordinates;
  /// [sequences, length] bool: the tokens that a mask keeps. Undefined: all.
  at::Tensor attended{};
  /// [sequences, length] int64: the number of each token's group, -1 in none. Undefined: there are
  /// no groups.
  at::Tensor groups{};

  std::int64_t length() const { return coordinates.size(1); }
};

/// Positions as a family counts them.
/// @param attended  [sequences, length] bool; undefined: all
/// @return [1 or sequences, length] int64
at::Tensor count_positions(Counting counting, const at::Tensor& attended, std::int64_t length);

/// What the places of a tile of sequences give to an attention.
struct Places {
  std::optional<RotaryTable> rotary;
  /// [1 or sequences, 1 or heads, length, length], added to the scores; undefined: none.
  at::Tensor mask;
  /// Without a mask: key j is visible to query i when j <= i.
  bool causal = false;
};

/// What the tokens' places give to every attention of one kind. Where sequences have masks of their
/// own, those of a tile are made when it is asked for: for all they would take sequences *
/// length^2.
class AttentionPlaces {
 public:
  /// @param spec  outlives this
  AttentionPlaces(const AttentionSpec& spec, const TokenPlaces& tokens, at::ScalarType dtype,
                  at::Device device);
  /// Those of the sequences from `first` on.
  Places tile(std::int64_t first, std::int64_t count) const;

 private:
  at::Tensor hidden(std::int64_t first, std::int64_t count) const;
  at::Tensor mask(std::int64_t first, std::int64_t count) const;

  const AttentionSpec& spec_;
  at::ScalarType dtype_;
  std::int64_t length_;
  at::Tensor index_;                   // [length] int64 on the device
  at::Tensor attended_, groups_;       // [sequences, length] there; undefined: none
  std::optional<RotaryTable> rotary_;  // [1 or sequences, 1, length, R]
  at::Tensor bias_;                    // ALiBi's, [1 or sequences, heads, 1, length]; or undefined
  bool causal_ = false;                // no mask is needed but this
  bool masked_ = false;                // a mask is needed
  at::Tensor shared_mask_;             // of all sequences; undefined: each has its own, or none
};

}  // namespace deadray
