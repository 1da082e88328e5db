#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "host/architecture/norm_site.h"
#include "host/command/common_options.h"
#include "host/prediction/predictor.h"
#include "verify/calibration/default_calibration.h"
#include "verify/measure/model.h"
#include "verify/probe/comparison.h"

namespace deadray {

/// The command line of `deadray verify`.
struct VerifyOptions {
  std::filesystem::path model, activations, dump;
  Source init = Source::checkpoint;
  Method method = Method::eigh;
  DType dtype = DType::f32;
  std::string site = "final", device = "cpu";
  CalibrationRequest calibration;
  double relative_tau = PredictOptions{}.relative_tau;
  std::optional<NormKind> norm;
  std::optional<double> eps;
  int threads = 0;
  bool residual = false, dump_logits = false, dry_run = false, download = false;
  std::filesystem::path saved;  // --checkpoint
  double minutes = 10;
  CheckpointOptions checkpoint;
  OutputOptions output;
};

void add_verify_options(CLI::App& command, VerifyOptions& options);

}  // namespace deadray
