#pragma once

#include <cstdint>
#include <vector>

#include "host/formats/checkpoint.h"

namespace deadray {

/// A weight that is stored as FP8 with a scale beside it: value = stored * scale. The scale has as
/// many dimensions as the weight, one number for each block of 128 or for each index; or it
/// is one number for all.
class Fp8Weight {
 public:
  /// Reads the scale.
  /// @throws UnsupportedError where the checkpoint holds none; MalformedError where its shape does
  /// not fit the weight's
  Fp8Weight(const Checkpoint& checkpoint, const TensorInfo& weight);

  /// Writes elements [first, first + count), dequantised. Thread-safe.
  void read(std::int64_t first, std::int64_t count, float* out) const;

 private:
  const Checkpoint& checkpoint_;
  const TensorInfo& weight_;
  std::vector<float> scale_;
  /// Of the last two dimensions: the weight's, the scale's, and elements of a block.
  std::int64_t rows_ = 1, columns_ = 1, scale_rows_ = 1, scale_columns_ = 1;
  std::int64_t block_rows_ = 1, block_columns_ = 1;
};

}  // namespace deadray
