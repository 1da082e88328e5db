#include "verify/probe.h"

#include <fmt/format.h>

#include "host/error.h"
#include "host/stopwatch.h"
#include "kernels/random_normal.h"
#include "verify/norm_rows.h"
#include "verify/schur.h"
#include "verify/tensors.h"

namespace deadray {

namespace {

at::Tensor random_unit_rows(std::int64_t count, std::int64_t d, std::uint64_t seed) {
  const at::Tensor rows = at::empty({count, d}, at::kFloat);
  kernels::random_normal(seed, kernels::stream_of("directions"), 0, rows.numel(), 1.0F, rows.data_ptr<float>());
  const at::Tensor wide = rows.to(at::kDouble);
  return wide / wide.norm(2, {1}, /*keepdim=*/true);
}

/// The rows whose variance decides: the predicted basis, or v* as the control where nothing is predicted.
at::Tensor decisive_rows(const DeadSubspace& predicted, std::int64_t d) {
  if (predicted.dimension > 0) return basis_of(predicted, d).t().contiguous();
  if (!predicted.inverse.empty()) return to_tensor(predicted.direction()).unsqueeze(0);
  return at::empty({0, d}, fp64());
}

}  // namespace

const Reading& SiteResult::decisive() const {
  if (!exact && !deployed) throw InternalError(fmt::format("norm '{}': no rows were measured", site.name));
  return exact ? *exact : *deployed;
}

SiteProbe::SiteProbe(NormSite site, NormParameters norm, const ProbeOptions& options) : options_(options), norm_(std::move(norm)) {
  const c10::InferenceMode no_derivatives;
  const std::int64_t d = site.hidden_size;
  result_.site = std::move(site);
  PredictOptions predict_options = options.predict;
  predict_options.deployed_roundoff = unit_roundoff(options.dtype);
  const Stopwatch watch;
  result_.predicted = predict(result_.site.kind, norm_.gamma, norm_.beta, predict_options, result_.site.weight);
  result_.predict_seconds = watch.seconds();
  directions_ = decisive_rows(result_.predicted, d);
  n_predicted_ = directions_.size(0);
  if (options.method == Method::directional)
    directions_ = at::cat({directions_, random_unit_rows(options.random_directions, d, options.seed)});
}

SiteProbe::Channel SiteProbe::make_channel(const at::Tensor& shift, double roundoff) const {
  Channel channel{std::nullopt, DirectionalMoments(directions_, shift), roundoff};
  if (options_.method != Method::directional) channel.moments.emplace(result_.site.hidden_size, shift);
  return channel;
}

void SiteProbe::Channel::add(const at::Tensor& rows) {
  if (moments) moments->add(rows);
  directions.add(rows);
}

void SiteProbe::add(const at::Tensor& input, const at::Tensor& output) {
  const Stopwatch watch;
  const std::int64_t d = result_.site.hidden_size;
  const at::Tensor zero = at::zeros({d}, fp64());
  if (input.defined()) {
    if (!exact_) exact_.emplace(make_channel(zero, unit_roundoff(DType::f64)));
    exact_->add(recompute_norm(result_.site, norm_, input));
    if (options_.method != Method::directional) {
      if (!input_) input_.emplace(d);
      input_->add(input);
    }
  }
  if (output.defined()) {
    if (!deployed_) deployed_.emplace(make_channel(norm_.beta.empty() ? zero : to_tensor(norm_.beta), unit_roundoff(options_.dtype)));
    deployed_->add(output);
  }
  result_.moments_seconds += watch.seconds();
}

Reading SiteProbe::read_channel(const Channel& channel) const {
  Measured measured;
  measured.tokens = channel.directions.count();
  measured.hidden_size = result_.site.hidden_size;
  measured.roundoff = channel.roundoff;
  const at::Tensor variances = channel.directions.variance();
  if (n_predicted_ > 0) measured.basis_variance = variances.narrow(0, 0, n_predicted_);
  if (const std::int64_t n_random = variances.size(0) - n_predicted_; n_random > 0)
    measured.random_variances = variances.narrow(0, n_predicted_, n_random);
  if (channel.moments) measured.covariance = channel.moments->covariance();
  return read(options_.method, result_.predicted, measured);
}

SiteResult SiteProbe::finish() {
  const Stopwatch watch;
  const std::int64_t d = result_.site.hidden_size;
  if (exact_) result_.exact = read_channel(*exact_);
  if (deployed_) result_.deployed = read_channel(*deployed_);
  const Reading& decisive = result_.decisive();
  result_.judgement = judge(options_.method, result_.site.kind, result_.predicted, decisive);
  result_.schur_null = schur_null(d, decisive.tokens);
  if (input_ && !result_.predicted.inverse.empty() && decisive.tokens > d) {
    const at::Tensor v = to_tensor(result_.predicted.direction());
    result_.schur_input = schur_ratio(input_->covariance(), v);
    result_.schur_output = schur_ratio(exact_->moments->covariance(), v);
  }
  result_.spectrum_seconds = watch.seconds();
  exact_.reset();
  deployed_.reset();
  input_.reset();
  return std::move(result_);
}

}  // namespace deadray
