#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"
#include "verify/calibration/calibration.h"

namespace deadray {

/// max(1.25 d, 4096). A covariance of d dimensions needs more than d rows; for small models more
/// rows cost nothing.
std::int64_t default_tokens(std::int64_t hidden_size);

/// What a measurement is to be run on; 0 and empty mean the default.
struct CalibrationRequest {
  /// A file; empty: random tokens or pixels.
  std::filesystem::path tokens;
  /// Rounded up to whole sequences; 0: default_tokens().
  std::int64_t random_tokens = 0;
  /// Number of sequences. For random tokens instead of random_tokens; of a file at most so many.
  std::int64_t batch = 0;
  /// 0: default_length, or the most that the model takes.
  std::int64_t sequence_length = 0;
  /// For many models at once: cut to what each takes. A sequence_length too long is refused.
  std::int64_t default_length = 256;
  /// Calibration::skip.
  std::int64_t skip_tokens = 0;
  /// Of random tokens.
  std::uint64_t seed = 0;
  /// How the file is read.
  CheckpointOptions checkpoint{};
};

/// Reads or draws what the request asks for. By default so many random tokens that, without the
/// skipped ones, default_tokens() are left.
/// @param name  the model's, for messages
/// @throws UsageError for a sequence longer than the model takes; where no token is left of those
///     to be skipped, or the model reads none; what read_tokens() throws
Calibration make_calibration(const Architecture& architecture, const std::string& name,
                             const CalibrationRequest& request);

}  // namespace deadray
