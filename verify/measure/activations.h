#pragma once

#include <filesystem>
#include <optional>

#include "verify/measure/measurement.h"

namespace deadray {

/// Activations of one norm that another program wrote (scripts/capture, say): so any model can be
/// verified. The file is a safetensors file with `weight` [d], `bias` [d] (may lack) and `input`
/// [N, d] or `output` [N, d] or both; its metadata or these options give the rest.
struct ActivationsOptions {
  ProbeOptions probe;
  CheckpointOptions checkpoint;
  Backend* backend = &cpu_backend();  ///< where it is measured
  /// Absent: the file's metadata ("norm") says; else a `bias` means LayerNorm.
  std::optional<NormKind> kind;
  /// Absent: the file's metadata ("eps") says; else 1e-5. No prediction depends on it.
  std::optional<double> eps;
};

/// What was measured of a file of activations.
struct ActivationsResult {
  std::filesystem::path file;
  DType dtype = DType::f32;  ///< of the rows as stored
  std::int64_t rows = 0;
  Measurement measurement;
  std::vector<std::string> notes{};  ///< what the user should know of the file
};

/// @throws MalformedError naming tensor, row and shape: widths that disagree, no rows, NaN or Inf
/// in them, neither input nor output, an output that is not the norm of the input;
/// UnsupportedError for quantised rows; Stopped after a stop signal, once catch_stop_signals() was
/// called
ActivationsResult verify_activations(const std::filesystem::path& file,
                                     const ActivationsOptions& options);

}  // namespace deadray
