#include "verify/fisher/site_fisher.h"

#include <algorithm>
#include <utility>

#include "host/base/stopwatch.h"
#include "verify/directional/consumers.h"
#include "verify/directional/directional_fisher.h"
#include "verify/directional/invariance.h"
#include "verify/directional/kfac.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;

/// What the measurements of one norm share.
class SiteMeasuring {
 public:
  SiteMeasuring(const Model& model, const Calibration& calibration, const SiteClaims& claims,
                const StreamsByNode& streams, const FisherOptions& options)
      : model_(model),
        calibration_(calibration),
        claims_(claims),
        streams_(streams),
        options_(options) {
    for (const DeadParameters& claim : claims.claims)
      result_.consumers.emplace_back(
          ConsumerFisher{claims.site.name, claim, obstacle(model, claims, claim.consumer)});
  }

  SiteFisher measure(const StreamsByNode* wide) {
    if (!claims_.entry) return std::move(result_);
    std::vector<ParameterDirection> hidden, of_head;
    for (ParameterDirection& direction :
         parameter_directions(claims_.untied, claims_.norm, claims_.subspace, claims_.constructions,
                              options_.counts, options_.seed))
      if (of(direction).not_measured.empty())
        (is_decoder(model_, direction.consumer) ? of_head : hidden).push_back(std::move(direction));
    if (!hidden.empty()) measure_hidden(hidden);
    if (!of_head.empty()) measure_head(of_head);
    if (wide != nullptr) measure_movement(*wide, hidden, of_head);
    share_shift();
    return std::move(result_);
  }

 private:
  FisherPass pass(const StreamsByNode& streams) const {
    return {model_, calibration_, streams, claims_.site.name, *claims_.entry, 0, options_.ranks};
  }

  ConsumerFisher& of(const ParameterDirection& direction) {
    return *std::find_if(result_.consumers.begin(), result_.consumers.end(),
                         [&](const ConsumerFisher& consumer) {
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
    result_.directions.push_back({direction, claims_.site.name, fisher});
    if (!kfac || direction.kind == Kind::weight_only) return;
    (direction.kind == Kind::dead ? consumer.kfac_dead : consumer.kfac_random).push_back(*kfac);
    const auto* move = std::get_if<ConsumerMove>(&direction.move);
    if (direction.kind == Kind::dead && move != nullptr)
      consumer.kernel_residual = largest(
          {consumer.kernel_residual.value_or(0), kernel_residual(*move, input, *options_.ranks)});
  }

  void take_notes(const std::vector<std::string>& notes) {
    result_.notes.insert(result_.notes.end(), notes.begin(), notes.end());
  }

  void measure_hidden(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = hidden_fisher(pass(streams_), directions);
    result_.load_seconds += fisher.load_seconds;
    take_notes(fisher.notes);
    std::vector<std::optional<double>> kfac(directions.size());
    if (options_.kfac) {
      const Stopwatch watch;
      kfac = kfac_estimates(pass(streams_), directions, fisher, options_.seed);
      result_.kfac_seconds += watch.seconds();
    }
    for (std::size_t k = 0; k < directions.size(); ++k)
      note(directions[k], fisher.values[k], kfac[k], fisher.input);
  }

  void measure_head(const std::vector<ParameterDirection>& directions) {
    const DirectionalFisher fisher = head_fisher(pass(streams_), directions);
    result_.load_seconds += fisher.load_seconds;
    take_notes(fisher.notes);
    for (std::size_t k = 0; k < directions.size(); ++k)
      note(directions[k], fisher.values[k],
           options_.kfac ? std::optional(fisher.kfac[k]) : std::nullopt, fisher.input);
  }

  /// Finite steps of the first dead direction and the first control of every claimed consumer.
  void measure_movement(const StreamsByNode& wide, const std::vector<ParameterDirection>& hidden,
                        const std::vector<ParameterDirection>& of_head) {
    const Stopwatch watch;
    const FisherPass wide_pass = pass(wide);
    Invariance invariance(wide_pass);
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
    take_notes(invariance.notes());
    result_.invariance_seconds += watch.seconds();
  }

  /// What was measured of a shift of beta holds for all the consumers that it moves.
  void share_shift() {
    const ConsumerFisher* first = nullptr;
    for (std::size_t i = 0; i < result_.consumers.size(); ++i) {
      ConsumerFisher& consumer = result_.consumers[i];
      if (claims_.constructions[i].family != DeadParameters::Family::weight_and_beta ||
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
  const FisherOptions& options_;
  SiteFisher result_;
};

}  // namespace

SiteFisher measure_site(const Model& model, const Calibration& calibration,
                        const SiteClaims& claims, const StreamsByNode& streams,
                        const StreamsByNode* wide, const FisherOptions& options) {
  return SiteMeasuring(model, calibration, claims, streams, options).measure(wide);
}

}  // namespace deadray
