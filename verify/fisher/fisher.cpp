#include "verify/fisher/fisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "verify/fisher/consumers.h"
#include "verify/fisher/directional_fisher.h"
#include "verify/fisher/fisher_plan.h"
#include "verify/fisher/invariance.h"
#include "verify/fisher/kfac.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;

/// The norm as it would be if no weight were used elsewhere.
NormSite untied(NormSite site) {
  for (Consumer& consumer : site.consumers) consumer.tied = false;
  return site;
}

/// One norm and what it predicts of its consumers.
struct SiteClaims {
  const NormSite& site;
  NormParameters norm;
  DeadSubspace subspace;
  std::vector<DeadParameters> claims;
  std::optional<std::int64_t> entry;  ///< entry_block()
};

SiteClaims claims_of(const Model& model, const NormSite& site, const PredictOptions& options) {
  SiteClaims all{site, norm_parameters(model.stored(), site), {}, {}, entry_block(model, site)};
  all.subspace = predict(site.kind, all.norm.gamma, all.norm.beta, options, gamma_name(site));
  all.claims = dead_parameters(site, all.subspace);
  return all;
}

/// Why this consumer is not measured; empty where it is.
std::string obstacle(const Model& model, const SiteClaims& site, const std::string& consumer) {
  if (!site.entry) return "its norm does not lie between the stream and the output";
  return reaches_output(model, consumer) ? "" : "has no part in the output";
}

/// What the norm asks for: each consumer's directions, those of a shift of beta once.
FisherWork work_of(const Model& model, const SiteClaims& site, const FisherOptions& options) {
  FisherWork work;
  work.entry = site.entry.value_or(model.architecture.n_blocks);
  bool shift_counted = false;
  const std::vector<DeadParameters> constructions =
      dead_parameters(untied(site.site), site.subspace);
  for (std::size_t i = 0; i < constructions.size(); ++i) {
    const DeadParameters& construction = constructions[i];
    if (!obstacle(model, site, construction.consumer).empty()) continue;
    const bool of_shift = construction.family == DeadParameters::Family::weight_and_beta;
    if (of_shift && std::exchange(shift_counted, true)) continue;
    const std::int64_t forgetful =
        construction.family == DeadParameters::Family::weight_and_bias || of_shift
            ? options.counts.dead
            : 0;
    (is_decoder(model, construction.consumer) ? work.head : work.hidden) +=
        options.counts.dead + forgetful + options.counts.controls;
    if (options.invariance && site.claims[i].family != DeadParameters::Family::none)
      work.moved += 2;  // a dead one and a control
  }
  return work;
}

/// What the measurements of one norm share.
class SiteFisher {
 public:
  /// @param wide  streams in FP64 for finite steps; null where they are not wanted
  SiteFisher(const Model& model, const Calibration& calibration, const SiteClaims& claims,
             const StreamsByNode& streams, const StreamsByNode* wide, const FisherOptions& options,
             FisherMeasurement& totals)
      : model_(model),
        calibration_(calibration),
        claims_(claims),
        streams_(streams),
        wide_(wide),
        options_(options),
        totals_(totals) {
    for (const DeadParameters& claim : claims.claims)
      consumers_.emplace_back(
          ConsumerFisher{claims.site.name, claim, obstacle(model, claims, claim.consumer)});
  }

  std::vector<ConsumerFisher> measure() {
    if (!claims_.entry) return std::move(consumers_);
    // Of a tied weight nothing is claimed; what is measured is a copy of its own.
    const NormSite site = untied(claims_.site);
    const std::vector<DeadParameters> constructions = dead_parameters(site, claims_.subspace);
    std::vector<ParameterDirection> hidden, of_head;
    for (ParameterDirection& direction : parameter_directions(
             site, claims_.norm, claims_.subspace, constructions, options_.counts, options_.seed))
      if (of(direction).not_measured.empty())
        (is_decoder(model_, direction.consumer) ? of_head : hidden).push_back(std::move(direction));
    if (!hidden.empty()) measure_hidden(hidden);
    if (!of_head.empty()) measure_head(of_head);
    if (wide_ != nullptr) measure_movement(hidden, of_head);
    share_shift(constructions);
    return std::move(consumers_);
  }

 private:
  FisherPass pass(const StreamsByNode& streams) const {
    return {model_, calibration_, streams, claims_.site.name, *claims_.entry};
  }

  ConsumerFisher& of(const ParameterDirection& direction) {
    return *std::find_if(consumers_.begin(), consumers_.end(), [&](const ConsumerFisher& consumer) {
      return consumer.claim.consumer == direction.consumer;
    });
  }

  void note(const ParameterDirection& direction, double fisher, std::optional<double> kfac,
            const at::Tensor& input) {
    ConsumerFisher& consumer = of(direction);
    DirectionGroup& group = direction.of_shift() ? consumer.shift : consumer.own;
    (direction.kind == Kind::dead     ? group.dead
     : direction.kind == Kind::random ? group.random
                                      : group.weight_only)
        .push_back(fisher);
    totals_.directions.push_back({direction, claims_.site.name, fisher});
    if (!kfac || direction.kind == Kind::weight_only) return;
    (direction.kind == Kind::dead ? consumer.kfac_dead : consumer.kfac_random).push_back(*kfac);
    if (direction.kind == Kind::dead && direction.norm.empty())
      consumer.kernel_residual = largest(
          {consumer.kernel_residual.value_or(0), kernel_residual(direction.moves[0], input)});
  }

  void measure_hidden(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = hidden_fisher(pass(streams_), directions);
    totals_.seconds.load += fisher.load_seconds;
    std::vector<std::optional<double>> kfac(directions.size());
    if (options_.kfac) {
      const Stopwatch watch;
      kfac = kfac_estimates(pass(streams_), directions, fisher, options_.seed);
      totals_.kfac_seconds += watch.seconds();
    }
    for (std::size_t k = 0; k < directions.size(); ++k)
      note(directions[k], fisher.values[k], kfac[k], fisher.input);
  }

  void measure_head(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = head_fisher(pass(streams_), directions);
    totals_.seconds.load += fisher.load_seconds;
    for (std::size_t k = 0; k < directions.size(); ++k)
      note(directions[k], fisher.values[k],
           options_.kfac ? std::optional(fisher.kfac[k]) : std::nullopt, fisher.input);
  }

  /// Finite steps of the first dead direction and the first control of every claimed consumer.
  void measure_movement(const std::vector<ParameterDirection>& hidden,
                        const std::vector<ParameterDirection>& of_head) {
    const Stopwatch watch;
    const FisherPass wide = pass(*wide_);
    const Invariance invariance(wide);
    for (const auto* directions : {&hidden, &of_head})
      for (const Kind kind : {Kind::dead, Kind::random}) {
        std::string done;
        for (const ParameterDirection& direction : *directions) {
          ConsumerFisher& consumer = of(direction);
          if (direction.kind != kind || direction.consumer == done || !consumer.claimed()) continue;
          done = direction.consumer;
          if (!consumer.movement) consumer.movement.emplace();
          (kind == Kind::dead ? consumer.movement->dead : consumer.movement->random) =
              invariance.movement(direction);
        }
      }
    totals_.invariance_seconds += watch.seconds();
  }

  /// What was measured of a shift of beta holds for all the consumers that it moves.
  void share_shift(const std::vector<DeadParameters>& constructions) {
    const ConsumerFisher* first = nullptr;
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      ConsumerFisher& consumer = consumers_[i];
      if (constructions[i].family != DeadParameters::Family::weight_and_beta ||
          !consumer.not_measured.empty())
        continue;
      if (first == nullptr) first = &consumer;
      consumer.shift = first->shift;
      if (!consumer.movement && consumer.claimed()) consumer.movement = first->movement;
    }
  }

  const Model& model_;
  const Calibration& calibration_;
  const SiteClaims& claims_;
  const StreamsByNode& streams_;
  const StreamsByNode* wide_;
  const FisherOptions& options_;
  FisherMeasurement& totals_;
  std::vector<ConsumerFisher> consumers_;
};

}  // namespace

FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration,
                                 const FisherOptions& options) {
  const Stopwatch watch;
  FisherMeasurement measurement;
  measurement.dtype = options.dtype;
  const std::vector<NormSite> sites = select_sites(model.sites, options.site);
  std::vector<SiteClaims> claims;
  std::int64_t first = model.architecture.n_blocks;
  for (const NormSite& site : sites) {
    if (site.consumers.empty()) {
      measurement.notes.push_back(fmt::format(
          "{}: nothing reads it through weights of its own: no parameter to measure", site.name));
      continue;
    }
    claims.push_back(claims_of(model, site, options.predict));
    if (claims.back().entry) first = std::min(first, *claims.back().entry);
  }
  measurement.seconds.predict = watch.seconds();
  if (!claims.empty()) {
    std::vector<FisherWork> work;
    for (const SiteClaims& site : claims) work.push_back(work_of(model, site, options));
    const FisherPlan plan = plan_fisher(model, calibration, options, work);
    require_memory(plan, model);
    if (options.planned) options.planned(plan);
    const KeptStreams kept = keep_streams(model, calibration, options.dtype, first);
    std::optional<KeptStreams> wide;
    if (options.invariance && options.dtype != at::kDouble)
      wide = keep_streams(model, calibration, at::kDouble, first);
    measurement.seconds.load += kept.load_seconds + (wide ? wide->load_seconds : 0.0);
    measurement.notes.insert(measurement.notes.end(), kept.notes.begin(), kept.notes.end());
    const StreamsByNode* fp64_streams = !options.invariance ? nullptr
                                        : wide              ? &wide->streams
                                                            : &kept.streams;
    FisherOptions affordable = options;
    if (const std::string why =
            options.kfac ? kfac_obstacle(model, calibration, options.dtype) : "";
        !why.empty()) {
      affordable.kfac = false;
      measurement.notes.push_back("K-FAC is left out: " + why);
    }
    std::size_t done = 0, whole = 0;  // norms, and directions of these
    try {
      for (; done < claims.size(); ++done) {
        throw_if_stopped();
        if (options.progress)
          options.progress(static_cast<std::int64_t>(done),
                           static_cast<std::int64_t>(claims.size()));
        auto some = SiteFisher(model, calibration, claims[done], kept.streams, fp64_streams,
                               affordable, measurement)
                        .measure();
        std::move(some.begin(), some.end(), std::back_inserter(measurement.consumers));
        whole = measurement.directions.size();
      }
    } catch (const Stopped& stopped) {
      if (measurement.consumers.empty()) throw;
      measurement.directions.resize(whole);
      measurement.stopped = stopped;
      measurement.notes.push_back(fmt::format("stopped by signal {}: {} of {} norms measured",
                                              stopped.signal, done, claims.size()));
    }
  }
  measurement.seconds.total = watch.seconds();
  return measurement;
}

}  // namespace deadray
