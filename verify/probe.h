#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

#include "host/norm_site.h"
#include "host/predictor.h"
#include "verify/comparison.h"
#include "verify/moments.h"
#include "verify/verdict.h"

namespace deadray {

struct ProbeOptions {
  Method method = Method::eigh;
  PredictOptions predict;
  DType dtype = DType::f32;             ///< in which the model runs: sets the deployed reading's rounding floor
  std::int64_t random_directions = 32;  ///< drawn beside v* for Method::directional
  std::uint64_t seed = 0;               ///< of those
};

/// What measuring one norm gave.
struct SiteResult {
  NormSite site;
  DeadSubspace predicted;
  std::optional<Reading> exact, deployed;  ///< absent where the data for it were not given
  std::optional<double> schur_input, schur_output;
  double schur_null = 0.0;
  Judgement judgement;  ///< on the decisive reading
  double predict_seconds = 0.0, moments_seconds = 0.0, spectrum_seconds = 0.0;

  /// The exact reading; the deployed one where that is all there is. @throws InternalError when no rows came at all
  const Reading& decisive() const;
};

/// Measures one norm while its tiles pass: the prediction first, then moments of three things, each optional: the output recomputed in FP64
/// (exact), the output as the model made it (deployed), and the input (for the Schur ratio).
class SiteProbe {
 public:
  SiteProbe(NormSite site, NormParameters norm, const ProbeOptions& options);
  /// @param input, output [n, d] in any float dtype; an undefined tensor leaves its reading out
  void add(const at::Tensor& input, const at::Tensor& output);
  SiteResult finish();

 private:
  struct Channel {
    std::optional<CentredMoments> moments;  // absent for Method::directional, which promises no covariance
    DirectionalMoments directions;
    double roundoff;
    void add(const at::Tensor& rows);
  };
  Channel make_channel(const at::Tensor& shift, double roundoff) const;
  Reading read_channel(const Channel& channel) const;

  ProbeOptions options_;
  NormParameters norm_;
  SiteResult result_;
  at::Tensor directions_;         // [predicted + random, d] unit rows
  std::int64_t n_predicted_ = 0;  // rows of directions_ that the prediction gave
  std::optional<Channel> exact_, deployed_;
  std::optional<CentredMoments> input_;
};

}  // namespace deadray
