#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "host/architecture/layer_specs.h"
#include "verify/layers/linear.h"
#include "verify/layers/norm.h"
#include "verify/layers/places.h"

namespace deadray {

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
