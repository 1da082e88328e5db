#include "verify/fisher.h"

#include <algorithm>
#include <memory>

#include "host/catalogue.h"
#include "host/command_line.h"
#include "host/stopwatch.h"
#include "verify/consumers.h"
#include "verify/directional_fisher.h"
#include "verify/invariance.h"
#include "verify/kfac.h"
#include "verify/tensors.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;

/// The norm as it would be if no weight were used elsewhere.
NormSite untied(NormSite site) {
  for (Consumer& consumer : site.consumers) consumer.tied = false;
  return site;
}

/// What the measurements of one norm share.
class SiteFisher {
 public:
  SiteFisher(FisherPass pass, const NormSite& site, const FisherOptions& options, FisherMeasurement& totals)
      : pass_(std::move(pass)), site_(site), options_(options), totals_(totals) {}

  std::vector<ConsumerFisher> measure() {
    std::vector<ParameterDirection> hidden, of_head;
    for (ParameterDirection& direction : draw())
      if (of(direction).not_measured.empty())
        (is_decoder(pass_.model, direction.consumer) ? of_head : hidden).push_back(std::move(direction));
    throw_if_stopped();
    if (!hidden.empty()) measure_hidden(hidden);
    if (!of_head.empty()) measure_head(of_head);
    if (options_.invariance) measure_movement(hidden), measure_movement(of_head);
    share_shift();
    return std::move(consumers_);
  }

 private:
  std::vector<ParameterDirection> draw() {
    const Stopwatch watch;
    const Model& model = pass_.model;
    const NormParameters norm = model.checkpoint ? load_norm(*model.checkpoint, site_) : initial_norm(site_);
    const DeadSubspace subspace = predict(site_.kind, norm.gamma, norm.beta, options_.predict, gamma_name(site_));
    for (const DeadParameters& claim : dead_parameters(site_, subspace)) {
      ConsumerFisher& consumer = consumers_.emplace_back(ConsumerFisher{site_.name, claim});
      if (!reaches_output(model, claim.consumer)) consumer.not_measured = "has no part in the output";
    }
    // Of a tied weight nothing is claimed; what is measured is a copy of its own.
    constructions_ = dead_parameters(untied(site_), subspace);
    totals_.seconds.predict += watch.seconds();
    return parameter_directions(site_, norm, subspace, constructions_, options_.counts, options_.seed);
  }

  ConsumerFisher& of(const ParameterDirection& direction) {
    return *std::find_if(consumers_.begin(), consumers_.end(),
                         [&](const ConsumerFisher& consumer) { return consumer.claim.consumer == direction.consumer; });
  }

  void note(const ParameterDirection& direction, double fisher, std::optional<double> kfac, const at::Tensor& input) {
    ConsumerFisher& consumer = of(direction);
    auto& place = direction.kind == Kind::dead ? consumer.dead : direction.kind == Kind::random ? consumer.random : consumer.weight_only;
    place.push_back(fisher);
    totals_.directions.push_back({direction, site_.name, fisher});
    if (!kfac || direction.kind == Kind::weight_only) return;
    (direction.kind == Kind::dead ? consumer.kfac_dead : consumer.kfac_random).push_back(*kfac);
    if (direction.kind == Kind::dead && direction.norm.empty())
      consumer.kernel_residual = std::max(consumer.kernel_residual.value_or(0), kernel_residual(direction.moves[0], input));
  }

  void measure_hidden(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = hidden_fisher(pass_, directions);
    totals_.seconds.load += fisher.load_seconds;
    std::vector<std::optional<double>> kfac(directions.size());
    if (options_.kfac) {
      const Stopwatch watch;
      kfac = kfac_estimates(pass_, directions, fisher, options_.seed);
      totals_.kfac_seconds += watch.seconds();
    }
    for (std::size_t k = 0; k < directions.size(); ++k) note(directions[k], fisher.values[k], kfac[k], fisher.input);
  }

  void measure_head(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = head_fisher(pass_, directions);
    totals_.seconds.load += fisher.load_seconds;
    for (std::size_t k = 0; k < directions.size(); ++k)
      note(directions[k], fisher.values[k], options_.kfac ? std::optional(fisher.kfac[k]) : std::nullopt, fisher.input);
  }

  /// Finite steps of the first dead direction and the first control of every claimed consumer.
  void measure_movement(const std::vector<ParameterDirection>& directions) {
    if (directions.empty()) return;
    const Stopwatch watch;
    std::optional<KeptStreams> kept;
    if (pass_.dtype() != at::kDouble) kept = keep_streams(pass_.model, pass_.calibration, at::kDouble, pass_.entry);
    const FisherPass wide{pass_.model, pass_.calibration, kept ? kept->streams : pass_.streams, pass_.site, pass_.entry};
    const Invariance invariance(wide);
    for (const Kind kind : {Kind::dead, Kind::random}) {
      std::string done;
      for (const ParameterDirection& direction : directions) {
        ConsumerFisher& consumer = of(direction);
        if (direction.kind != kind || direction.consumer == done || !consumer.claimed()) continue;
        done = direction.consumer;
        if (!consumer.movement) consumer.movement.emplace();
        (kind == Kind::dead ? consumer.movement->dead : consumer.movement->random) = invariance.movement(direction);
      }
    }
    totals_.invariance_seconds += watch.seconds();
  }

  /// What was measured of a shift of beta holds for all the consumers that it moves.
  void share_shift() {
    const ConsumerFisher* first = nullptr;
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      ConsumerFisher& consumer = consumers_[i];
      if (constructions_[i].family != DeadParameters::Family::weight_and_beta || !consumer.not_measured.empty()) continue;
      if (first == nullptr) first = &consumer;
      if (first == &consumer) continue;
      consumer.dead = first->dead, consumer.weight_only = first->weight_only, consumer.random = first->random;
      consumer.movement = first->movement;
    }
  }

  FisherPass pass_;
  const NormSite& site_;
  const FisherOptions& options_;
  FisherMeasurement& totals_;
  std::vector<ConsumerFisher> consumers_;
  std::vector<DeadParameters> constructions_;
};

std::vector<ConsumerFisher> unmeasured(const NormSite& site) {
  std::vector<ConsumerFisher> consumers;
  for (const Consumer& consumer : site.consumers)
    consumers.push_back({site.name, {consumer.name, consumer.width}, "its norm does not lie between the stream and the output"});
  return consumers;
}

}  // namespace

double ConsumerFisher::worst_dead() const { return *std::max_element(dead.begin(), dead.end()); }
double ConsumerFisher::median_random() const { return to_tensor(random).median().item<double>(); }

ExitCode exit_code_of(const FisherMeasurement& measurement, at::ScalarType dtype) {
  const double limit = dtype == at::kDouble ? kDeadRatio : kDeadRatioFloat32;
  const bool refuted = std::any_of(measurement.consumers.begin(), measurement.consumers.end(), [&](const ConsumerFisher& consumer) {
    if (!consumer.claimed() || consumer.dead.empty()) return false;
    return !(consumer.ratio() < limit) || (consumer.movement && !(consumer.movement->dead < kStill));
  });
  return refuted ? ExitCode::refuted : ExitCode::done;
}

FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration, const FisherOptions& options) {
  const Stopwatch watch;
  FisherMeasurement measurement;
  const std::vector<NormSite> sites = select_sites(model.sites, options.site);
  std::int64_t first = model.architecture.n_blocks;
  for (const NormSite& site : sites)
    if (!site.consumers.empty())
      if (const auto entry = entry_block(model, site)) first = std::min(first, *entry);
  KeptStreams kept = keep_streams(model, calibration, options.dtype, first);
  measurement.seconds.load += kept.load_seconds;
  measurement.notes = kept.notes;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (options.progress) options.progress(static_cast<std::int64_t>(i), static_cast<std::int64_t>(sites.size()));
    if (sites[i].consumers.empty()) continue;
    const auto entry = entry_block(model, sites[i]);
    std::vector<ConsumerFisher> some =
        entry ? SiteFisher({model, calibration, kept.streams, sites[i].name, *entry}, sites[i], options, measurement).measure()
              : unmeasured(sites[i]);
    std::move(some.begin(), some.end(), std::back_inserter(measurement.consumers));
  }
  measurement.seconds.total = watch.seconds();
  return measurement;
}

}  // namespace deadray
