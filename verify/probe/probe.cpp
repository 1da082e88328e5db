#include "verify/probe/probe.h"

#include <fmt/format.h>

#include <utility>

#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"
#include "verify/base/thresholds.h"
#include "verify/device/channel.h"
#include "verify/device/merge_moments.h"
#include "verify/probe/inherited.h"
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

bool runs_side_by_side(const ProbeOptions& options, const Backend& backend) {
  return options.side_by_side && backend.runs_side_by_side();
}

void run_pieces(std::vector<Work> pieces, const ProbeOptions& options, const Backend& backend) {
  if (runs_side_by_side(options, backend))
    run_side_by_side(std::move(pieces));
  else
    run_in_order(pieces);
}

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

void SiteProbe::share_input_of(const SiteProbe& other) {
  if (input_ || !other.input_ || other.input_->count() > 0) return;
  input_ = other.input_;
  adds_input_ = false;
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
    if (forms_covariance() && !input_)
      input_ = std::make_shared<InputMoments>(
          d, /*rarely=*/!has_schur_ratio() && options_.ranks->size() == 1, *backend_);
    if (input_ && adds_input_) input_->reserve(input);
  }
  if (output.defined()) ready(deployed_, output, deployed);
}

void SiteProbe::add(const at::Tensor& input, const at::Tensor& output, std::vector<Work>& work) {
  reserve(input, output);
  const double width = forms_covariance() ? static_cast<double>(hidden_size())
                                          : static_cast<double>(directions_.size(0));
  const auto cost = [&](const at::Tensor& rows) {
    return static_cast<double>(rows.numel()) * width;
  };
  if (input.defined()) {
    work.push_back({cost(input), [this, input] { exact_->add(input); }});
    if (input_ && adds_input_)
      work.push_back(
          {input_->forms_products() ? cost(input) : 0.0, [this, input] { input_->add(input); }});
  }
  if (output.defined()) work.push_back({cost(output), [this, output] { deployed_->add(output); }});
}

void SiteProbe::add(const at::Tensor& input, const at::Tensor& output) {
  std::vector<Work> work;
  add(input, output, work);
  run_pieces(std::move(work), options_, *backend_);
}

Measured SiteProbe::measured(const RowMoments& moments, double roundoff,
                             const at::Tensor& explained) const {
  Measured measured;
  measured.tokens = moments.count;
  measured.hidden_size = result_.site.hidden_size;
  measured.roundoff = roundoff;
  if (n_predicted_ > 0) measured.basis_variance = moments.variance.narrow(0, 0, n_predicted_);
  if (const std::int64_t n_random = moments.variance.size(0) - n_predicted_; n_random > 0)
    measured.random_variances = moments.variance.narrow(0, n_predicted_, n_random);
  measured.covariance = moments.covariance;
  measured.explained = explained;
  return measured;
}

/// Looks again at an exact reading that its spectrum leaves open: at the covariance scaled to unit
/// variances, then with the null directions that the input brings along. The reading is replaced
/// where these settle it.
/// @return explained_directions() in that case; else undefined
at::Tensor SiteProbe::look_closer(const RowMoments& exact) {
  const Method method = options_.method;
  const NormKind kind = result_.site.kind;
  const DeadSubspace& predicted = result_.predicted;
  // h_i = gamma_i z_i is off by gamma_i d u: the mean that is taken off rounds d times.
  const double relative = static_cast<double>(result_.site.hidden_size) * kRoundoff64;
  const at::Tensor row_rounding =
      (to_tensor(norm_.gamma) * relative).square().to(backend_->device());
  const auto is_settled = [&](Reading& reading, Measured data) {
    data.row_rounding = row_rounding;
    if (is_open(method, predicted, reading))
      add_scaled_reading(method, predicted, data, reading, *backend_);
    return agrees(judge(method, kind, predicted, reading));
  };
  if (is_settled(*result_.exact, measured(exact, kRoundoff64, {}))) return {};

  const at::Tensor explained =
      explained_directions(kind, norm_.gamma, predicted, second_moment(input_->moments()),
                           unit_roundoff(input_->dtype()), *backend_);
  result_.inherited = explained.size(1) - predicted.dimension;
  if (result_.inherited == 0) return {};
  const Measured data = measured(exact, kRoundoff64, explained);
  Reading closer = read(method, predicted, data, *backend_);
  if (!is_settled(closer, data)) return {};
  result_.exact = std::move(closer);
  return explained;
}

void SiteProbe::finish_channels() {
  const auto take = [](std::unique_ptr<Channel>& channel, std::optional<RowMoments>& moments) {
    if (channel) moments = std::exchange(channel, nullptr)->finish();
  };
  take(exact_, exact_rows_);
  take(deployed_, deployed_rows_);
}

void SiteProbe::merge(int owner) {
  const c10::InferenceMode no_derivatives;
  finish_channels();
  for (std::optional<RowMoments>* moments : {&exact_rows_, &deployed_rows_})
    if (*moments) *moments = merge_moments(std::move(**moments), *options_.ranks, owner);
  if (input_ && adds_input_) input_->merge(*options_.ranks, owner);
}

SiteResult SiteProbe::finish() {
  const c10::InferenceMode no_derivatives;
  finish_channels();
  const std::int64_t d = hidden_size();
  const Method method = options_.method;
  const auto reading = [&](const RowMoments& moments, DType made_in, const at::Tensor& explained) {
    return read(method, result_.predicted, measured(moments, unit_roundoff(made_in), explained),
                *backend_);
  };
  const bool has_exact = exact_rows_.has_value(), has_deployed = deployed_rows_.has_value();
  const RowMoments exact = exact_rows_.value_or(RowMoments{}),
                   deployed = deployed_rows_.value_or(RowMoments{});
  constexpr double kReading = 1, kFactor = 0.2;  // what a decomposition and a factor take
  std::vector<Work> work;
  at::Tensor explained;
  if (has_exact)
    work.push_back({kReading, [&] {
                      result_.exact = reading(exact, DType::f64, {});
                      if (is_open(method, result_.predicted, *result_.exact))
                        explained = look_closer(exact);
                    }});
  if (has_deployed)
    work.push_back({kReading, [&] { result_.deployed = reading(deployed, options_.dtype, {}); }});
  if (input_ && input_->count() > d && has_schur_ratio()) {
    const at::Tensor v = to_tensor(result_.predicted.direction()).to(backend_->device());
    work.push_back({kFactor, [&, v] {
                      result_.schur_input = schur_ratio(input_->moments().covariance, v, *backend_);
                    }});
    work.push_back(
        {kFactor, [&, v] { result_.schur_output = schur_ratio(exact.covariance, v, *backend_); }});
  }
  run_pieces(std::move(work), options_, *backend_);
  // Rarely: then the deployed reading has to count what the input explains too.
  if (has_deployed && explained.defined())
    result_.deployed = reading(deployed, options_.dtype, explained);
  const Reading& decisive = result_.decisive();
  result_.judgement = judge(method, result_.site.kind, result_.predicted, decisive);
  if (result_.inherited > 0 && !agrees(result_.judgement))
    result_.judgement = beside_inherited(std::move(result_.judgement), result_.inherited);
  result_.schur_null = schur_null(d, decisive.tokens);
  return std::move(result_);
}

}  // namespace deadray
