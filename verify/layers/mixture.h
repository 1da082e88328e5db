#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "verify/layers/dense_mlp.h"

namespace deadray {

/// A mixture of experts. An expert's weights are loaded when a token first chooses it, and kept. An
/// expert that no token chooses is never read.
class Mixture {
 public:
  Mixture(const Weights& weights, const MlpSpec& spec, std::int64_t block, at::ScalarType dtype);
  /// @param h  [..., d]
  at::Tensor operator()(const at::Tensor& h) const;

 private:
  const DenseMlp& expert(std::int64_t number) const;

  const Weights& weights_;
  MlpSpec spec_;
  std::int64_t block_;
  at::ScalarType dtype_;
  Linear router_;
  mutable std::vector<std::optional<DenseMlp>> experts_;
};

}  // namespace deadray
