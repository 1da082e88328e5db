#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "verify/calibration/calibration.h"
#include "verify/layers/block.h"

namespace deadray {

/// What the tower asks of whoever runs it.
struct TowerRun {
  std::function<std::unique_ptr<Block>(std::int64_t)> load_block;
  NormCall norm;
  /// Runs a step, one picture through one block: what its norms see counts whole or not at all.
  std::function<void(const std::function<void()>&)> step;
  /// All pictures have passed this norm.
  std::function<void(const std::string&)> finished;
};

/// Runs pictures through a tower: all pass block l before block l+1 is loaded.
/// @return [rows of all pictures, d of the text], on the weights' backend
at::Tensor embed_pictures(const VisionTower& tower, const Weights& weights,
                          const std::vector<Picture>& pictures, at::ScalarType dtype,
                          const TowerRun& run);

}  // namespace deadray
