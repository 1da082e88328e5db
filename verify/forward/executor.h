#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"
#include "verify/forward/observer.h"
#include "verify/weights/weights.h"

namespace deadray {

struct ExecutorOptions {
  at::ScalarType dtype = at::kFloat;
  /// Tokens that pass a block at once, rounded to whole sequences, at least one.
  std::int64_t tile_tokens = 1024;
  bool logits = false;
  /// K > 0: derivatives along K directions are carried to the output, from the weights' tangents()
  /// and from whatever hook calls ForwardMode::lift(). They take K times the stream's memory.
  std::int64_t directions = 0;
};

/// Where a run begins.
struct Start {
  /// n_blocks: what follows the last one.
  std::int64_t block = 0;
  /// The stream [N, d] that enters the block, as Observer::residual() saw it. Undefined: the run
  /// begins with the calibration, at block 0. Where one is given, nothing before the block moves.
  at::Tensor stream{};
};

/// Tokens that pass a block of this stack at once. There are more where experts share them out, so
/// that each expert's product stays large.
std::int64_t tokens_of_tile(const Stack& stack, const ExecutorOptions& options);

/// Runs a transformer layer by layer on its weights' backend: all tokens pass block l before block
/// l+1. So memory holds one block of weights, on a device the next one too, and the residual stream
/// [N, d], whatever the model's depth.
class Executor {
 public:
  /// Outlived by the architecture and the weights.
  Executor(const Architecture& architecture, const Weights& weights, ExecutorOptions options);
  /// @throws ResourceError with the sizes when a block, or a tile of one sequence, does not fit the
  ///     device
  void run(const Calibration& calibration, Observer& observer, const Start& start = {});

  // Of the last run, also of one that an exception ended.

  /// Seconds that it waited for weights.
  double load_seconds() const noexcept { return load_seconds_; }
  /// What the user should know of it.
  const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  const Architecture& architecture_;
  const Weights& weights_;
  ExecutorOptions options_;
  double load_seconds_ = 0.0;
  std::vector<std::string> notes_;
};

}  // namespace deadray
