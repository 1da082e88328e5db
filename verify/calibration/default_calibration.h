#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "verify/calibration/calibration.h"

namespace deadray {

/// max(1.25 d, 4096): a covariance of d dimensions needs more than d rows, and small models cost
/// nothing.
std::int64_t default_tokens(std::int64_t hidden_size);

/// What a measurement is to be run on; 0 and empty mean the default.
struct CalibrationRequest {
  std::filesystem::path tokens;    ///< file; empty: random ones
  std::int64_t random_tokens = 0;  ///< rounded up to whole sequences; default_tokens()
  std::int64_t batch = 0;  ///< sequences, instead of random_tokens; of a file: at most so many
  std::int64_t sequence_length = 0;  ///< default_length, or the most that the model takes
  std::int64_t default_length =
      256;  ///< for all models: cut to what each takes, where sequence_length is refused
  std::uint64_t seed = 0;          ///< of random tokens
  CheckpointOptions checkpoint{};  ///< how the file is read
};

/// @param name  the model's, for messages
/// @throws UsageError for a sequence longer than the model takes, and as read_tokens() does
Calibration make_calibration(const Architecture& architecture, const std::string& name,
                             const CalibrationRequest& request);

}  // namespace deadray
