#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "host/architecture/layer_specs.h"
#include "verify/layers/rotary.h"

namespace deadray {

/// What the tokens' places in a sequence give to every attention of one kind.
struct Places {
  std::optional<RotaryTable> rotary;
  /// [1 or sequences, 1 or heads, length, length], added to the scores; undefined: none.
  at::Tensor mask;
  /// Without a mask: key j is visible to query i when j <= i.
  bool causal = false;

  /// Those of some of the sequences.
  Places narrow(std::int64_t first, std::int64_t count) const;
};

/// @param coordinates  [length, axes] FP32; for text positions 0, 1, ...
/// @param groups       [sequences, length] int64: the number of each token's group, -1 in none;
///     undefined: there are no groups
Places places_of(const AttentionSpec& spec, const at::Tensor& coordinates, at::ScalarType dtype,
                 at::Device device, const at::Tensor& groups = {});

}  // namespace deadray
