#pragma once

#include <cstdint>
#include <string>

#include "verify/measure/measurement.h"

namespace deadray {

/// What a measurement will take, reckoned from the architecture before anything is read. Bytes are
/// upper estimates of what is in memory at the same time; flops are those of the matrix products.
struct Plan {
  std::int64_t tokens = 0;
  double weights = 0;      ///< bytes of the largest block, twice where the next one is read ahead
  double stream = 0;       ///< bytes of the residual stream [tokens, d]
  double activations = 0;  ///< bytes inside a block for one tile of tokens
  double moments = 0;      ///< bytes of the covariances that are kept at once
  double spectrum = 0;     ///< bytes of the decomposition of one
  double forward_flops = 0;
  double gemm_rate = 0;  ///< flops a second of a large product in the run's dtype, measured just
                         ///< now; 0: too little work to ask

  /// At the worst moment: in a block, with its norms measured, or at a final norm, when no weights
  /// are there.
  double peak() const noexcept;
  /// Of the forward pass alone, at the measured rate; 0 where it was not measured.
  double seconds() const noexcept { return gemm_rate > 0 ? forward_flops / gemm_rate : 0.0; }
};

/// Work, in flops, from which on a run says what it will take; less is done in the time that
/// measuring the rate takes.
inline constexpr double kWorthAsking = 2e11;

Plan plan_measurement(const Model& model, const Calibration& calibration,
                      const MeasurementOptions& options);
/// The same for another number of sequences; nothing is measured.
Plan reckon(const Model& model, std::int64_t sequences, std::int64_t length,
            const MeasurementOptions& options);

/// One line: bytes per part, flops, time.
std::string describe(const Plan& plan, const Model& model, std::int64_t available);

/// Measures, after refusing what does not fit and saying on standard error what large work takes;
/// shows progress there. Afterwards the plan has the better of the rates before and after: a
/// machine that others use changes meanwhile.
Measurement measure_as_planned(Plan& plan, const Model& model, const Calibration& calibration,
                               MeasurementOptions options, bool quiet);

/// Flops a second of products [1024, n] x [n, 4 n] in the dtype on the backend, n at most 4096: the
/// best of three.
double measure_gemm_rate(Backend& backend, at::ScalarType dtype, std::int64_t n);

/// Flops of the matrix products of a forward pass from block `first` on, head excluded: 2 a weight
/// and token, of experts only the chosen; attention's own.
double forward_flops(const Stack& stack, std::int64_t tokens, std::int64_t sequence_length,
                     std::int64_t first = 0);

}  // namespace deadray
