#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/prediction/predictor.h"
#include "verify/forward/executor.h"
#include "verify/measure/measurement.h"

namespace deadray {

/// The data of one comparison of costs: a norm, and rows that have passed it. Every method gets the
/// same.
struct TimingProblem {
  std::string model;  ///< its name; empty: synthetic
  NormSite site;
  NormParameters norm;
  DeadSubspace predicted;
  /// [K, d] FP64 unit rows: the predicted basis; v*, a control, where nothing is predicted.
  at::Tensor directions;
  at::Tensor rows;        ///< [n, d] FP64 on the CPU, beta subtracted: gamma * z
  at::Tensor covariance;  ///< [d, d] FP64 on the CPU, divisor n

  std::int64_t hidden_size() const { return site.hidden_size; }
  /// [d, dimension], orthonormal columns; no column where nothing is predicted.
  at::Tensor basis() const;
};

/// Number of rows of a synthetic problem: 1.25 d, since a covariance needs more than d.
std::int64_t synthetic_rows(std::int64_t hidden_size);

/// A LayerNorm with gamma spread around 1 and beta around 0, and Gaussian rows that have passed it;
/// the same bits on every machine.
TimingProblem synthetic_problem(std::int64_t hidden_size);

/// A model on random tokens whose forward pass is to be timed.
class TimedForward {
 public:
  /// @throws as the readers do; ResourceError where the pass does not fit the memory
  TimedForward(const std::filesystem::path& path, bool random, Backend& backend);
  /// Seconds of one pass up to the final norm, the wait for weights left out.
  double run();
  const Model& model() const { return *model_; }
  const Calibration& calibration() const { return calibration_; }
  /// The final norm and the rows that it made in a pass.
  /// @throws UnsupportedError for a model without a final norm
  TimingProblem problem();

 private:
  double run(Observer& observer);
  Backend& backend_;
  std::unique_ptr<Model> model_;
  Calibration calibration_;
};

}  // namespace deadray
