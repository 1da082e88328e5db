#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "verify/layers/linear.h"
#include "verify/layers/norm.h"

namespace deadray {

/// What lies between the last block and the head's decoder, with its weights loaded: the final
/// norm, the projection, BERT's transform. All on tiles of whole sequences.
class OutputStage {
 public:
  OutputStage(const Architecture& architecture, const Weights& weights, at::ScalarType dtype);
  /// @param x  [sequences, length, d], the last block's output
  /// @return [sequences, length or 1, d]
  at::Tensor final_norm(const at::Tensor& x, const NormCall& call) const;
  /// @param h  what final_norm() gave
  /// @return what the decoder reads [sequences, length or 1, width]; h itself in a model without a
  ///     head
  at::Tensor to_head(const at::Tensor& h, const NormCall& call) const;
  const std::optional<Norm>& head_norm() const noexcept { return head_norm_; }
  /// Names of the norms, in order of evaluation.
  std::vector<std::string> norms() const;

 private:
  const Architecture& architecture_;
  bool has_head_;
  std::optional<Norm> final_norm_, head_norm_;
  std::optional<Linear> projection_, dense_;
};

/// The decoder as a checkpoint holds it: the table of tokens where the two are tied.
LinearSpec stored_decoder(const Architecture& architecture);

}  // namespace deadray
