#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/layer_specs.h"
#include "verify/layers/weights.h"

// The layers of a transformer with their weights loaded. All work on tiles of whole sequences, x
// [sequences, length, width].
namespace deadray {

/// A norm as the model's own dtype evaluates it (the deployed reading). RMSNorm is reduced in FP32
/// for half types, and rounded before or after the scale multiplies as the family's reference code
/// does.
class Norm {
 public:
  Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype);
  /// @param x  [..., width]; for a norm with a scale of its own for each head [sequences, rows,
  /// length, width]
  at::Tensor operator()(const at::Tensor& x) const;
  /// As norm_sites() calls them: one, or one for each head with a scale of its own.
  const std::vector<std::string>& sites() const noexcept { return sites_; }
  const std::string& name() const noexcept {
    return sites_.front();
  }  ///< of a norm that is one site

 private:
  at::Tensor evaluate(const at::Tensor& x) const;
  std::vector<std::string> sites_;
  NormSpec spec_;
  at::Tensor gamma_, beta_;    // undefined: none
  LayerHook* hook_ = nullptr;  // of a norm that is one site
};

at::Tensor activate(Activation activation, const at::Tensor& x);

/// activation(in(h)), gated or not, through `out`.
class DenseMlp {
 public:
  DenseMlp(const Weights& weights, const MlpSpec& spec, std::int64_t block, at::ScalarType dtype);
  at::Tensor operator()(const at::Tensor& h) const;

 private:
  Activation activation_;
  bool gated_;
  Linear in_, out_;
};

/// @param cap  c: x becomes c tanh(x / c); 0: x
at::Tensor soft_cap(const at::Tensor& x, double cap);

}  // namespace deadray
