#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "verify/layers/attention.h"
#include "verify/layers/dense_mlp.h"
#include "verify/layers/mixture.h"

namespace deadray {

/// One block of a stack with its weights loaded.
class Block {
 public:
  Block(const Weights& weights, const BlockSpec& spec, std::int64_t index, at::ScalarType dtype);
  /// @param x  [sequences, length, d]
  at::Tensor operator()(const at::Tensor& x, const Places& places, const NormCall& call) const;
  /// Names of the norms' sites, in order of evaluation.
  const std::vector<std::string>& norms() const noexcept { return norms_; }

 private:
  at::Tensor attend(const at::Tensor& h, const Places& places, const NormCall& call) const;
  at::Tensor feed_forward(const at::Tensor& h, const NormCall& call) const;

  Wiring wiring_;
  Norm attention_norm_;
  std::optional<Norm> mlp_norm_, attention_output_norm_, mlp_output_norm_;
  Parameter attention_layer_scale_, mlp_layer_scale_, output_scale_;  // undefined: none
  Attention attention_;
  std::variant<DenseMlp, Mixture> mlp_;
  std::vector<std::string> norms_;
};

}  // namespace deadray
