#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "verify/device/backend.h"

namespace deadray {

/// Smallest singular values of the residual stream X_l [N, d], one entry a node: X_0 after the
/// embeddings, X_L the final norm's input.
struct ResidualSpectrum {
  std::vector<double> centred;  ///< sigma_min(X_l - 1 mean^T); 0 where it is below the rounding of
                                ///< the FP64 Gram, and for N <= d
  std::vector<double> uncentred;  ///< sigma_min(X_l), likewise
  std::vector<std::int64_t>
      excluded;  ///< nodes that are a LayerNorm's output: their sigma_min is 0 by construction
  std::optional<std::int64_t>
      reference;  ///< the first node that is not excluded; absent where no ratio to it is defined
  std::vector<double> ratio;  ///< uncentred sigma_min(X_l)/sigma_min(X_reference), NaN for excluded
                              ///< nodes; empty without a reference
  std::vector<double>
      steps;  ///< uncentred sigma_min(X_l)/sigma_min(X_{l-1}); NaN for the first node, beside an
              ///< excluded one, and where that divides by 0; empty without a reference
  std::optional<bool> preserved;  ///< every ratio of a node not excluded is >= 1; the uncentred
                                  ///< value decides. Empty where undefined
  std::string reason;  ///< one clause: why preserved is empty, or which node has the smallest ratio
};

/// Collects the nodes of one forward pass in order; holds two numbers a node, never the stream.
class ResidualStream {
 public:
  explicit ResidualStream(Backend& backend = cpu_backend()) : backend_(&backend) {}
  enum class Node { stream, layernorm_output };

  /// @param x  [N, d], any float dtype, on the backend's device; N and d the same at every node.
  /// FP64 Gram in row tiles, then d^3/3 flops twice.
  void add(const at::Tensor& x, Node node = Node::stream);
  ResidualSpectrum finish() const;

 private:
  Backend* backend_;
  std::int64_t tokens_ = 0, hidden_size_ = 0;
  ResidualSpectrum spectrum_;
};

}  // namespace deadray
