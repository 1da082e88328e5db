#pragma once

#include <filesystem>
#include <optional>

#include "verify/measure/measurement.h"

namespace deadray {

/// Activations of one norm that another program wrote (scripts/capture, say): so any model can
/// be verified. A safetensors file with `weight` [d], `bias` [d] (may lack) and `input` [N, d] or
/// `output` [N, d] (or both); metadata or options give the rest.
struct ActivationsOptions {
  ProbeOptions probe;
  CheckpointOptions checkpoint;
  Backend* backend = &cpu_backend();  ///< where it is measured
  std::optional<NormKind>
      kind;  ///< absent: the file's metadata ("norm") says, else a 'bias' means LayerNorm
  std::optional<double> eps;  ///< absent: the metadata ("eps"), else 1e-5; changes no prediction,
                              ///< since any normaliser leaves the same direction dead
};

/// What was measured of a file of activations; record_header() makes a record's header of it.
struct ActivationsResult {
  std::filesystem::path file;
  DType dtype = DType::f32;  ///< of the rows as stored
  std::int64_t rows = 0;
  Measurement measurement;
  std::vector<std::string> notes{};  ///< what the user should know of the file
};

/// @throws MalformedError naming tensor, row and shape: widths that disagree, no rows, NaN or Inf
/// in them, neither input nor output;
///         UnsupportedError for quantised rows; Stopped after a stop signal, once
///         catch_stop_signals() was called
ActivationsResult verify_activations(const std::filesystem::path& file,
                                     const ActivationsOptions& options);

}  // namespace deadray
