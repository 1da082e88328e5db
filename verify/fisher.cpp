#include "verify/fisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "host/catalogue.h"
#include "host/command_line.h"
#include "host/error.h"
#include "host/stopwatch.h"
#include "verify/consumers.h"
#include "verify/logit_fisher.h"
#include "verify/memory.h"
#include "verify/output_gradients.h"
#include "verify/tensors.h"
#include "verify/watched_weights.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;

/// Keeps the streams that enter some blocks.
class StreamKeeper final : public Observer {
 public:
  explicit StreamKeeper(std::int64_t first) : first_(first) {}
  void residual(std::int64_t node, const at::Tensor& x) override {
    throw_if_stopped();
    if (node >= first_) streams[node] = x.clone();
  }
  std::map<std::int64_t, at::Tensor> streams;

 private:
  std::int64_t first_;
};

/// Collects what the head reads, with its derivatives, and what a norm gives.
class OutputKeeper final : public Observer {
 public:
  explicit OutputKeeper(std::string norm = {}) : norm_(std::move(norm)) {}
  bool wants(const std::string& site) override { return site == norm_; }
  void norm(const std::string&, const at::Tensor&, const at::Tensor& output) override { rows_.push_back(output); }
  bool wants_output() override { return true; }
  void output(const Dual& tile) override {
    throw_if_stopped();
    values_.push_back(tile.value);
    if (tile.tangents.defined()) tangents_.push_back(tile.tangents);
  }
  Dual output() const { return {at::cat(values_), tangents_.empty() ? at::Tensor() : at::cat(tangents_, 1)}; }
  at::Tensor norm_rows() const { return rows_.empty() ? at::Tensor() : at::cat(rows_); }

 private:
  std::string norm_;
  std::vector<at::Tensor> values_, tangents_, rows_;
};

/// Bytes that one direction takes beside a pass: its stream, what it leaves at the output, and a tile's widest activations.
double bytes_of_direction(const Model& model, const Calibration& calibration, at::ScalarType dtype) {
  const Architecture& a = model.architecture;
  const auto length = static_cast<double>(calibration.length());
  double widest = 0;
  for (const BlockSpec& kind : a.block_kinds)
    widest = std::max(widest, static_cast<double>(kind.mlp.in.outputs + kind.attention.qkv.outputs) +
                                  length * static_cast<double>(kind.attention.n_heads));
  const double stream = static_cast<double>(calibration.tokens()) * static_cast<double>(a.hidden_size);
  return static_cast<double>(c10::elementSize(dtype)) * (3 * stream + 4 * length * widest);
}

/// What the measurements of one norm share.
class SiteFisher {
 public:
  SiteFisher(const Model& model, const Calibration& calibration, const FisherOptions& options, const NormSite& site, std::int64_t entry,
             const std::map<std::int64_t, at::Tensor>& streams)
      : model_(model), calibration_(calibration), options_(options), site_(site), entry_(entry), streams_(streams) {}

  std::vector<ConsumerFisher> measure(FisherMeasurement& totals) {
    const Stopwatch watch;
    const NormParameters norm = model_.checkpoint ? load_norm(*model_.checkpoint, site_) : initial_norm(site_);
    const DeadSubspace subspace = predict(site_.kind, norm.gamma, norm.beta, options_.predict, gamma_name(site_));
    const auto claims = dead_parameters(site_, subspace);
    for (const DeadParameters& claim : claims) {
      ConsumerFisher& consumer = consumers_.emplace_back(ConsumerFisher{site_.name, claim, {}, {}, {}, {}, {}, {}, {}});
      if (!reaches_output(model_, claim.consumer)) consumer.not_measured = "has no part in the output";
    }
    std::vector<ParameterDirection> hidden, of_head;
    for (ParameterDirection& direction : parameter_directions(site_, norm, subspace, claims, options_.counts, options_.seed)) {
      if (!of(direction).not_measured.empty()) continue;
      (is_decoder(model_, direction.consumer) ? of_head : hidden).push_back(std::move(direction));
    }
    totals.seconds.predict += watch.seconds();
    if (!hidden.empty()) measure_hidden(hidden, totals);
    if (!of_head.empty()) measure_head(of_head);
    if (options_.invariance) {
      const Stopwatch steps;
      measure_movement(hidden), measure_movement(of_head);
      totals.invariance_seconds += steps.seconds();
    }
    share_shift();
    return std::move(consumers_);
  }

 private:
  ConsumerFisher& of(const ParameterDirection& direction) {
    return *std::find_if(consumers_.begin(), consumers_.end(),
                         [&](const ConsumerFisher& consumer) { return consumer.claim.consumer == direction.consumer; });
  }
  void note(const ParameterDirection& direction, double fisher, std::optional<double> kfac) {
    ConsumerFisher& consumer = of(direction);
    auto& place = direction.kind == Kind::dead ? consumer.dead : direction.kind == Kind::random ? consumer.random : consumer.weight_only;
    place.push_back(fisher);
    if (kfac && direction.kind != Kind::weight_only)
      (direction.kind == Kind::dead ? consumer.kfac_dead : consumer.kfac_random).push_back(*kfac);
  }

  Executor executor(const Weights& weights, std::int64_t directions, at::ScalarType dtype) const {
    ExecutorOptions options;
    options.dtype = dtype;
    options.directions = directions;
    return {model_.architecture, weights, options};
  }

  /// (<r, h> + s)^2, mean over rows: v^T A v in homogeneous coordinates.
  static double input_moment(const ConsumerMove& move, const at::Tensor& h) {
    return (at::matmul(h.to(at::kDouble), move.r.to(h.device())) + move.s).square().mean().item<double>();
  }

  void measure_hidden(const std::vector<ParameterDirection>& directions, FisherMeasurement& totals) {
    const double each = bytes_of_direction(model_, calibration_, options_.dtype);
    const double budget = std::min(static_cast<double>(available_memory(model_.weights->backend())) / 2, 4.0 * 1024 * 1024 * 1024);
    if (each > budget)
      throw ResourceError(fmt::format("{}: one direction takes {} and {} are to be had; give fewer tokens or --dtype float32", model_.name,
                                      size_text(each), size_text(budget)));
    const auto at_once = static_cast<std::size_t>(std::clamp(budget / each, 1.0, 64.0));
    std::vector<double> fisher;
    at::Tensor h;
    std::int64_t rows = 0;
    for (std::size_t first = 0; first < directions.size(); first += at_once) {
      const std::span some = std::span(directions).subspan(first, std::min(at_once, directions.size() - first));
      WatchedWeights weights(*model_.weights);
      watch_directions(weights, some);
      OutputKeeper output(site_.name);
      Executor pass = executor(weights, static_cast<std::int64_t>(some.size()), options_.dtype);
      pass.run(calibration_, output, {entry_, streams_.at(entry_)});
      totals.seconds.load += pass.load_seconds();
      const at::Tensor f = output_fisher(model_.architecture, *model_.weights, output.output());
      fisher.insert(fisher.end(), f.const_data_ptr<double>(), f.const_data_ptr<double>() + f.numel());
      h = output.norm_rows();
      rows = output.output().value.size(0);
    }
    if (!h.defined()) h = streams_.at(entry_);  // the norm whose output is the stream that enters block 0
    const std::vector<std::optional<double>> kfac = kfac_of(directions, h, rows, totals);
    for (std::size_t k = 0; k < directions.size(); ++k) note(directions[k], fisher[k], kfac[k]);
  }

  std::vector<std::optional<double>> kfac_of(const std::vector<ParameterDirection>& directions, const at::Tensor& h, std::int64_t rows,
                                             FisherMeasurement& totals) const {
    std::vector<std::optional<double>> kfac(directions.size());
    if (!options_.kfac) return kfac;
    const Stopwatch watch;
    std::map<std::string, std::vector<std::size_t>> which;
    for (std::size_t k = 0; k < directions.size(); ++k)
      if (directions[k].norm.empty() && directions[k].moves[0].u.defined()) which[directions[k].consumer].push_back(k);
    std::map<std::string, at::Tensor> u;
    for (const auto& [consumer, ks] : which) {
      std::vector<at::Tensor> all;
      for (const std::size_t k : ks) all.push_back(directions[k].moves[0].u);
      u[consumer] = at::stack(all);
    }
    if (!u.empty()) {
      std::map<std::int64_t, at::Tensor> streams(streams_.find(entry_), streams_.end());
      const double rows_of_tokens = static_cast<double>(calibration_.tokens()) / static_cast<double>(rows);
      for (const auto& [consumer, moments] : output_gradient_moments(model_, calibration_, streams, u, options_.seed)) {
        const auto& ks = which.at(consumer);
        for (std::size_t i = 0; i < ks.size(); ++i)
          kfac[ks[i]] = input_moment(directions[ks[i]].moves[0], h) * moments[static_cast<std::int64_t>(i)].item<double>() * rows_of_tokens;
      }
    }
    totals.kfac_seconds += watch.seconds();
    return kfac;
  }

  void measure_head(const std::vector<ParameterDirection>& directions) {
    OutputKeeper output;
    executor(*model_.weights, 0, options_.dtype).run(calibration_, output, {entry_, streams_.at(entry_)});
    const at::Tensor h = output.output().value.contiguous();
    const Decoder decoder = load_decoder(model_.architecture, *model_.weights, options_.dtype);
    std::vector<at::Tensor> u;
    for (const ParameterDirection& direction : directions) {
      const ConsumerMove& move = direction.moves[0];
      u.push_back(move.u.defined() ? move.u.to(h.device())
                                   : at::mv(decoder.weight, move.through.to(decoder.weight.options())).to(at::kDouble));
    }
    const at::Tensor variance = model_.weights->backend().head_fisher(h, decoder, at::stack(u));  // [n, K]
    const at::Tensor wide = h.to(at::kDouble);
    for (std::size_t k = 0; k < directions.size(); ++k) {
      const ConsumerMove& move = directions[k].moves[0];
      // A shift of beta reaches the logits through W alone: W a (1 + <r, h>).
      const double s = directions[k].norm.empty() ? move.s : 1.0;
      const at::Tensor squares = (at::matmul(wide, move.r.to(h.device())) + s).square(),
                       of_k = variance.select(1, static_cast<std::int64_t>(k));
      const double kfac = squares.mean().item<double>() * of_k.mean().item<double>();
      note(directions[k], (squares * of_k).mean().item<double>(), options_.kfac ? std::optional(kfac) : std::nullopt);
    }
  }

  /// Finite steps of the first dead direction and the first control of every claimed consumer.
  void measure_movement(const std::vector<ParameterDirection>& directions) {
    if (directions.empty()) return;
    const at::Tensor stream = stream_fp64();
    const at::Tensor still = output_of(*model_.weights, stream);
    for (const Kind kind : {Kind::dead, Kind::random}) {
      std::string done;
      for (const ParameterDirection& direction : directions) {
        ConsumerFisher& consumer = of(direction);
        if (direction.kind != kind || direction.consumer == done || !consumer.claimed()) continue;
        done = direction.consumer;
        if (!consumer.movement) consumer.movement.emplace();
        (kind == Kind::dead ? consumer.movement->dead : consumer.movement->random) = movement_along(direction, stream, still);
      }
    }
  }

  double movement_along(const ParameterDirection& direction, const at::Tensor& stream, const at::Tensor& still) const {
    const auto weight_of = [&](const std::string& consumer) { return load_consumer(model_, consumer); };
    const double size = weight_of(direction.consumer).norm().item<double>();
    double worst = 0;
    for (const double step : {1.0, 10.0, 100.0}) {
      throw_if_stopped();
      const MovedWeights moved(*model_.weights, direction, step * size, weight_of);
      worst = std::max(worst, output_movement(model_.architecture, *model_.weights, still, moved, output_of(moved, stream)));
    }
    return worst;
  }

  at::Tensor output_of(const Weights& weights, const at::Tensor& stream) const {
    OutputKeeper output;
    executor(weights, 0, at::kDouble).run(calibration_, output, {entry_, stream});
    return output.output().value;
  }
  at::Tensor stream_fp64() const {
    if (options_.dtype == at::kDouble) return streams_.at(entry_);
    StreamKeeper keeper(entry_);
    executor(*model_.weights, 0, at::kDouble).run(calibration_, keeper);
    return keeper.streams.at(entry_);
  }

  /// What was measured of a shift of beta holds for all the consumers that it moves.
  void share_shift() {
    const auto shifts = [](const ConsumerFisher& consumer) { return consumer.claim.family == DeadParameters::Family::weight_and_beta; };
    const auto first = std::find_if(consumers_.begin(), consumers_.end(), shifts);
    for (auto other = first; other != consumers_.end(); ++other) {
      if (other == first || !shifts(*other) || !other->not_measured.empty()) continue;
      other->dead = first->dead, other->weight_only = first->weight_only, other->random = first->random, other->movement = first->movement;
    }
  }

  const Model& model_;
  const Calibration& calibration_;
  const FisherOptions& options_;
  const NormSite& site_;
  std::int64_t entry_;
  const std::map<std::int64_t, at::Tensor>& streams_;
  std::vector<ConsumerFisher> consumers_;
};

std::vector<ConsumerFisher> unmeasured(const NormSite& site) {
  std::vector<ConsumerFisher> consumers;
  for (const Consumer& consumer : site.consumers)
    consumers.push_back(
        {site.name, {consumer.name, consumer.width}, "its norm does not lie between the stream and the output", {}, {}, {}, {}, {}, {}});
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
  StreamKeeper keeper(first);
  ExecutorOptions executor_options;
  executor_options.dtype = options.dtype;
  Executor executor(model.architecture, *model.weights, executor_options);
  executor.run(calibration, keeper);
  measurement.seconds.load += executor.load_seconds();
  measurement.notes = executor.notes();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (options.progress) options.progress(static_cast<std::int64_t>(i), static_cast<std::int64_t>(sites.size()));
    if (sites[i].consumers.empty()) continue;
    const auto entry = entry_block(model, sites[i]);
    std::vector<ConsumerFisher> some =
        entry ? SiteFisher(model, calibration, options, sites[i], *entry, keeper.streams).measure(measurement) : unmeasured(sites[i]);
    std::move(some.begin(), some.end(), std::back_inserter(measurement.consumers));
  }
  measurement.seconds.total = watch.seconds();
  return measurement;
}

}  // namespace deadray
