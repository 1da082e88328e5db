#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <optional>

#include "verify/layers/layers.h"
#include "verify/layers/rotary.h"

namespace deadray {

/// What the tokens' places in a sequence give to every attention of one kind.
struct Places {
  std::optional<RotaryTable> rotary;
  at::Tensor
      mask;  ///< [1 or sequences, 1 or heads, length, length], added to the scores; undefined: none
  bool causal = false;  ///< without a mask: key j is visible to query i when j <= i

  /// Of some of the sequences.
  Places narrow(std::int64_t first, std::int64_t count) const;
};

/// @param coordinates  [length, axes] FP32; positions 0, 1, ... of text
/// @param groups       [sequences, length] int64: the number of each token's group, -1 in none;
/// undefined: there are no groups
Places places_of(const AttentionSpec& spec, const at::Tensor& coordinates, at::ScalarType dtype,
                 at::Device device, const at::Tensor& groups = {});

/// Evaluates a norm, and lets whoever watches see it.
using NormCall = std::function<at::Tensor(const Norm& norm, const at::Tensor& x)>;

/// Attention with its weights loaded, on tiles of whole sequences h [sequences, length, d].
class Attention {
 public:
  Attention(const Weights& weights, const AttentionSpec& spec, std::int64_t block,
            at::ScalarType dtype);
  at::Tensor operator()(const at::Tensor& h, const Places& places, const NormCall& call) const;

 private:
  struct Heads {
    at::Tensor q, k, v;  // [sequences, heads, length, head_dim]
  };
  Heads split(const at::Tensor& packed) const;
  at::Tensor mix(const Heads& heads, const Places& places) const;

  AttentionSpec spec_;
  Linear qkv_, out_;
  std::optional<Norm> query_norm_, key_norm_, value_norm_;
};

}  // namespace deadray
