#pragma once

#include <cstdint>
#include <string>

#include "verify/measure/measurement.h"

namespace deadray {

/// What a measurement will take, reckoned from the architecture before anything is read. Bytes are
/// upper estimates of what is in memory at the same time; flops are those of the matrix products.
struct Plan {
  std::int64_t tokens = 0;
  double weights = 0;      ///< bytes of the largest block
  double ahead = 0;        ///< bytes of the next one, where it is read ahead
  double stream = 0;       ///< bytes of the residual stream [tokens, d]
  double activations = 0;  ///< bytes inside a block for one tile of tokens
  double moments = 0;      ///< bytes of the covariances that are kept at once, or wait
  double spectrum = 0;     ///< bytes of the decompositions that run at the same time
  double forward_flops = 0;
  /// Flops a second of a large product in the run's dtype (gemm_rate.h); 0: not measured.
  double gemm_rate = 0;

  /// At the worst moment: inside a block whose norms are measured, or when the spectra are taken
  /// and the block has gone, but not the next one.
  double peak() const noexcept;
  /// Of the forward pass alone, at the measured rate; 0 where it was not measured.
  double seconds() const noexcept { return gemm_rate > 0 ? forward_flops / gemm_rate : 0.0; }
};

/// Reckons a run over `sequences` of `length` tokens. Reads nothing and measures nothing.
/// @param masked  whether a mask hides tokens: then the sequences of a tile have attention masks of
///     their own, [length, length] each
Plan reckon(const Model& model, std::int64_t sequences, std::int64_t length,
            const MeasurementOptions& options, bool masked = false);

/// Flops of the matrix products of a forward pass from block `first` on, without the head: two for
/// each weight and token (of a mixture the chosen experts alone), and those of the attention.
double forward_flops(const Stack& stack, std::int64_t tokens, std::int64_t sequence_length,
                     std::int64_t first = 0);

/// One line: bytes of each part, flops, time.
/// @param available  bytes; 0: unknown
std::string describe(const Plan& plan, const Model& model, std::int64_t available);

}  // namespace deadray
