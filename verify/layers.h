#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

#include "host/architecture.h"
#include "verify/rotary.h"
#include "verify/weights.h"

// The layers of a transformer with their weights loaded. All work on tiles of whole sequences, x [sequences, length, width].
namespace deadray {

/// A norm as the model's own dtype evaluates it (the deployed reading). RMSNorm is reduced in FP32 for half types and cast before the scale
/// multiplies, as the families' reference code does.
class Norm {
 public:
  Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype);
  at::Tensor operator()(const at::Tensor& x) const;
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  NormKind kind_;
  double eps_;
  at::Tensor gamma_, beta_;
};

class Attention {
 public:
  Attention(const Weights& weights, const AttentionSpec& spec, std::int64_t block, at::ScalarType dtype);
  at::Tensor operator()(const at::Tensor& h, const std::optional<RotaryTable>& rotary) const;

 private:
  AttentionSpec spec_;
  Linear qkv_, out_;
};

at::Tensor activate(Activation activation, const at::Tensor& x);

class Mlp {
 public:
  Mlp(const Weights& weights, const MlpSpec& spec, std::int64_t block, at::ScalarType dtype);
  at::Tensor operator()(const at::Tensor& h) const;

 private:
  Activation activation_;
  bool gated_;
  Linear in_, out_;
};

}  // namespace deadray
