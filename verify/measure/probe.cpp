#include "verify/measure/probe.h"

#include <fmt/format.h>

#include <utility>

#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/tensors.h"
#include "verify/device/channel.h"
#include "verify/spectrum/schur.h"

namespace deadray {

namespace {

at::Tensor random_unit_rows(std::int64_t count, std::int64_t d, std::uint64_t seed) {
  const at::Tensor rows = at::empty({count, d}, at::kFloat);
  kernels::random_normal(seed, kernels::stream_of("directions"), 0, rows.numel(), 1.0F,
                         rows.data_ptr<float>());
  const at::Tensor wide = rows.to(at::kDouble);
  return wide / wide.norm(2, {1}, /*keepdim=*/true);
}

/// The rows whose variance decides: the predicted basis, or v* as the control where nothing is
/// predicted.
at::Tensor decisive_rows(const DeadSubspace& predicted, std::int64_t d) {
  if (predicted.dimension > 0) return basis_of(predicted, d).t().contiguous();
  if (!predicted.inverse.empty()) return to_tensor(predicted.direction()).unsqueeze(0);
  return at::empty({0, d}, fp64());
}

}  // namespace

const Reading& SiteResult::decisive() const {
  if (!exact && !deployed)
    throw InternalError(fmt::format("norm '{}': no rows were measured", site.name));
  return exact ? *exact : *deployed;
}

SiteProbe::SiteProbe(NormSite site, NormParameters norm, const ProbeOptions& options,
                     Backend& backend)
    : options_(options), norm_(std::move(norm)), backend_(&backend) {
  const c10::InferenceMode no_derivatives;
  const std::int64_t d = site.hidden_size;
  result_.site = std::move(site);
  PredictOptions predict_options = options.predict;
  predict_options.deployed_roundoff = unit_roundoff(options.dtype);
  const Stopwatch watch;
  result_.predicted = predict(result_.site.kind, norm_.gamma, norm_.beta, predict_options,
                              gamma_name(result_.site));
  result_.predict_seconds = watch.seconds();
  directions_ = decisive_rows(result_.predicted, d);
  n_predicted_ = directions_.size(0);
  if (options.method == Method::directional)
    directions_ =
        at::cat({directions_, random_unit_rows(options.random_directions, d, options.seed)});
}

void SiteProbe::reserve(const at::Tensor& input, const at::Tensor& output) {
  const std::int64_t d = result_.site.hidden_size;
  // The spec is made for the first tile alone: it copies gamma, beta and the directions.
  const auto ready = [&](std::unique_ptr<Channel>& channel, const at::Tensor& rows,
                         const auto& spec) {
    if (!channel) channel = backend_->make_channel(spec());
    channel->reserve(rows);
  };
  const auto exact = [&] {
    return ChannelSpec{d, RecomputedNorm{result_.site, norm_}, at::zeros({d}, fp64()), directions_,
                       forms_covariance()};
  };
  const auto deployed = [&] {
    return ChannelSpec{d, std::nullopt,
                       norm_.beta.empty() ? at::zeros({d}, fp64()) : to_tensor(norm_.beta),
                       directions_, forms_covariance()};
  };
  if (input.defined()) {
    ready(exact_, input, exact);
    if (forms_covariance()) ready(input_, input, [&] { return ChannelSpec{.hidden_size = d}; });
  }
  if (output.defined()) ready(deployed_, output, deployed);
}

void SiteProbe::add(const at::Tensor& input, const at::Tensor& output) {
  backend_->synchronize();  // so that the forward pass is not counted as ours
  const Stopwatch watch;
  reserve(input, output);
  if (input.defined()) {
    exact_->add(input);
    if (input_) input_->add(input);
  }
  if (output.defined()) deployed_->add(output);
  backend_->synchronize();
  result_.moments_seconds += watch.seconds();
}

Reading SiteProbe::read_moments(const RowMoments& moments, double roundoff) const {
  Measured measured;
  measured.tokens = moments.count;
  measured.hidden_size = result_.site.hidden_size;
  measured.roundoff = roundoff;
  if (n_predicted_ > 0) measured.basis_variance = moments.variance.narrow(0, 0, n_predicted_);
  if (const std::int64_t n_random = moments.variance.size(0) - n_predicted_; n_random > 0)
    measured.random_variances = moments.variance.narrow(0, n_predicted_, n_random);
  measured.covariance = moments.covariance;
  return read(options_.method, result_.predicted, measured, *backend_);
}

SiteResult SiteProbe::finish() {
  const Stopwatch watch;
  const std::int64_t d = result_.site.hidden_size;
  const auto take = [](std::unique_ptr<Channel>& channel) {
    return std::exchange(channel, nullptr)->finish();
  };
  RowMoments exact;
  if (exact_) {
    exact = take(exact_);
    result_.exact = read_moments(exact, unit_roundoff(DType::f64));
  }
  if (deployed_) result_.deployed = read_moments(take(deployed_), unit_roundoff(options_.dtype));
  const Reading& decisive = result_.decisive();
  result_.judgement = judge(options_.method, result_.site.kind, result_.predicted, decisive);
  result_.schur_null = schur_null(d, decisive.tokens);
  if (input_ && !result_.predicted.inverse.empty() && decisive.tokens > d) {
    const at::Tensor v = to_tensor(result_.predicted.direction()).to(backend_->device());
    result_.schur_input = schur_ratio(take(input_).covariance, v, *backend_);
    result_.schur_output = schur_ratio(exact.covariance, v, *backend_);
  }
  input_.reset();
  result_.spectrum_seconds = watch.seconds();
  return std::move(result_);
}

}  // namespace deadray
