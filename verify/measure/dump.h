#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/safetensors_writer.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// Writes what one forward pass makes to a safetensors file: `residual.0` … `residual.L`, `logits`
/// on request, and `final_norm.output` where the model ends in a norm. Streams and logits go to
/// disk as they come. The final norm's output is kept in memory, because its tiles alternate with
/// those of the logits. Every token has its row, those too that a mask hides.
class Dump {
 public:
  /// @throws ResourceError when the file cannot be written or the disk is full
  Dump(const std::filesystem::path& file, const Architecture& architecture,
       const Calibration& calibration, at::ScalarType dtype, bool logits);
  void residual(const at::Tensor& x) { append(x); }
  void logits(const at::Tensor& tile) { append(tile); }
  void final_norm(const at::Tensor& tile) {
    final_tiles_.push_back(
        tile.to(at::kCPU, tile.scalar_type(), /*non_blocking=*/false, /*copy=*/true));
  }
  void finish();

 private:
  void append(const at::Tensor& values);
  std::optional<SafetensorsWriter> writer_;
  std::vector<at::Tensor> final_tiles_;
};

}  // namespace deadray
