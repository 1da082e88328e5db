#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/layer_specs.h"
#include "verify/layers/parameter.h"
#include "verify/weights/weights.h"

namespace deadray {

/// A norm as the model's own dtype evaluates it (the deployed reading). RMSNorm is reduced in FP32
/// for half types, and rounded before or after the scale multiplies as the family's reference code
/// does.
class Norm {
 public:
  Norm(const Weights& weights, const NormSpec& spec, std::int64_t block, at::ScalarType dtype);
  /// @param x  [..., width]; for a norm with a scale of its own for each head [sequences, rows,
  ///     length, width]
  at::Tensor operator()(const at::Tensor& x) const;
  /// As norm_sites() calls them: one, or one for each head with a scale of its own.
  const std::vector<std::string>& sites() const noexcept { return sites_; }
  /// Of a norm that is one site.
  const std::string& name() const noexcept { return sites_.front(); }

 private:
  at::Tensor evaluate(const at::Tensor& x) const;

  std::vector<std::string> sites_;
  NormSpec spec_;
  Parameter gamma_, beta_;     // undefined: none
  LayerHook* hook_ = nullptr;  // of a norm that is one site
};

/// Absent where there is no spec.
std::optional<Norm> load_if_any(const Weights& weights, const std::optional<NormSpec>& spec,
                                std::int64_t block, at::ScalarType dtype);

/// Evaluates a norm, and lets whoever watches see it.
using NormCall = std::function<at::Tensor(const Norm& norm, const at::Tensor& x)>;

}  // namespace deadray
