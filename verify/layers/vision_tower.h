#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "verify/calibration/calibration.h"
#include "verify/layers/block.h"

namespace deadray {

/// How the tower passes by whoever runs it.
struct Passage {
  std::function<std::unique_ptr<Block>(std::int64_t)> load_block;
  NormCall norm;
  std::function<void(const std::function<void()>&)>
      step;  ///< one picture through one block: what norms saw counts whole or not at all
  std::function<void(const std::string&)> finished;  ///< all pictures have passed this norm
};

/// Runs pictures through a tower, all through block l before block l+1.
/// @return [rows of all pictures, d of the text], on the weights' backend
at::Tensor embed_pictures(const VisionTower& tower, const Weights& weights,
                          const std::vector<Picture>& pictures, at::ScalarType dtype,
                          const Passage& passage);

}  // namespace deadray
