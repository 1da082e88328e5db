#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/prediction/predictor.h"
#include "verify/base/side_by_side.h"
#include "verify/device/backend.h"
#include "verify/device/channel.h"
#include "verify/probe/comparison.h"
#include "verify/probe/input_moments.h"
#include "verify/probe/verdict.h"
#include "verify/ranks/communicator.h"

namespace deadray {

struct ProbeOptions {
  Method method = Method::eigh;
  PredictOptions predict;
  DType dtype = DType::f32;  ///< of the forward pass; sets the deployed reading's rounding floor
  std::int64_t random_directions = 32;  ///< drawn beside v* for Method::directional
  std::uint64_t seed = 0;               ///< of those
  /// Whether pieces of work run side by side, each with memory of its own, where the backend can.
  bool side_by_side = true;
  /// The processes that measure the same norms on other rows; they outlive the probes.
  Communicator* ranks = &one_process();
};

/// Whether they do on this backend.
bool runs_side_by_side(const ProbeOptions& options, const Backend& backend);
/// Runs pieces of work so, or in order.
void run_pieces(std::vector<Work> pieces, const ProbeOptions& options, const Backend& backend);

/// What measuring one norm gave.
struct SiteResult {
  NormSite site;
  DeadSubspace predicted;
  std::optional<Reading> exact, deployed;  ///< absent where the data for it were not given
  std::optional<double> schur_input, schur_output;
  double schur_null = 0.0;
  /// Null directions of the output that its input brings along; asked only where more is null than
  /// is predicted, or no gap shows.
  std::int64_t inherited = 0;
  Judgement judgement;  ///< on the decisive reading
  double predict_seconds = 0.0;

  /// The exact reading; the deployed one where that is all there is.
  /// @throws InternalError when no rows came at all
  const Reading& decisive() const;
};

/// Measures one norm while its tiles pass. It predicts first. Then it gathers the moments of three
/// things, each optional: the output recomputed in FP64 (exact), the output as the model made it
/// (deployed), and the input (for the Schur ratio).
class SiteProbe {
 public:
  SiteProbe(NormSite site, NormParameters norm, const ProbeOptions& options,
            Backend& backend = cpu_backend());
  /// Takes the moments of the input from `other`, which reads the same rows and adds them, where
  /// neither has had a tile.
  void share_input_of(const SiteProbe& other);
  /// Allocates what add() of the same tile needs. After it, add() cannot run out of memory, so a
  /// tile counts whole or not at all.
  void reserve(const at::Tensor& input, const at::Tensor& output);
  /// Appends the pieces of work that a tile asks for. They may run side by side, also with those of
  /// other probes; all of them before the next tile.
  /// @param input, output  [n, d] in any float dtype, on the backend's device; an undefined tensor
  /// leaves its reading out
  void add(const at::Tensor& input, const at::Tensor& output, std::vector<Work>& work);
  /// Does them.
  void add(const at::Tensor& input, const at::Tensor& output);
  /// After the last tile: what all ranks have goes to one of them, which then calls finish().
  /// Collective. A probe that adds no moments of its input (shares_input()) has the owner of the
  /// one that does.
  void merge(int owner);
  /// Once, after merge() or where there is one rank: decomposes, compares, judges.
  SiteResult finish();
  /// Decompositions that finish() takes, at the same time where threads allow.
  static constexpr std::int64_t kDecompositions = 2;  // of the exact and the deployed covariance

  std::int64_t hidden_size() const noexcept { return result_.site.hidden_size; }
  double predict_seconds() const noexcept { return result_.predict_seconds; }
  bool shares_input() const noexcept { return !adds_input_; }
  /// Of a norm that another rank measures: its site and its prediction.
  const SiteResult& result() const noexcept { return result_; }

 private:
  bool forms_covariance() const { return options_.method != Method::directional; }
  void finish_channels();
  Measured measured(const RowMoments& moments, double roundoff, const at::Tensor& explained) const;
  at::Tensor look_closer(const RowMoments& exact);
  bool has_schur_ratio() const { return !result_.predicted.inverse.empty(); }

  ProbeOptions options_;
  NormParameters norm_;
  Backend* backend_;
  SiteResult result_;
  at::Tensor directions_;         // [predicted + random, d] unit rows
  std::int64_t n_predicted_ = 0;  // rows of directions_ that the prediction gave
  std::unique_ptr<Channel> exact_, deployed_;
  std::optional<RowMoments> exact_rows_, deployed_rows_;  // of the channels, when they are done
  std::shared_ptr<InputMoments> input_;
  bool adds_input_ = true;
};

}  // namespace deadray
